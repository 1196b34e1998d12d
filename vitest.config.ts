import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

export default defineConfig({
  // The tests among the examples import this package by its name.
  ssr: { resolve: { conditions: ["effect-local-llm:source", "module", "node", "development|production"] } },
  test: {
    include: ["{test,examples}/**/*.test.ts"],
    // Those install servers, a browser, clients or other runtimes first, and have commands of their own.
    exclude: ["test/{real,browser,clients,cluster,runtimes}/**"],
    globalSetup: "test/support/bundleCommandLine.ts",
    // Most of them wait for other processes or for sockets, so one more than the cores.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 20_000
  }
})
