import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

/** They measure memory, or look at what a process has once, such as its sockets and its metrics, or start a server with the module that they import. */
const alone = [
  "test/examples/*.test.ts",
  "test/contract/{hostileMemory,leaks,load,memory}.test.ts",
  "test/gateway/{load,memory,privacy}.test.ts",
  "test/policies/{chaos,telemetry,telemetryDefaults}.test.ts",
  "test/policies/pool/permits.test.ts"
]

export default defineConfig({
  // The tests among the examples import this package by its name.
  ssr: { resolve: { conditions: ["effect-local-llm:source", "module", "node", "development|production"] } },
  test: {
    // Most of them wait for other processes or for sockets, so one more than the cores.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 20_000,
    projects: [
      { extends: true, test: { name: "alone", include: alone } },
      {
        extends: true,
        test: {
          name: "together",
          include: ["{test,examples}/**/*.test.ts"],
          // The others install servers, a browser, clients or other runtimes first, and have commands of their own.
          exclude: [...alone, "test/{real,browser,clients,cluster,runtimes}/**"],
          globalSetup: "test/support/bundleCommandLine.ts",
          // A file runs in the process of one that has ended, with the modules that it has loaded.
          isolate: false
        }
      }
    ]
  }
})
