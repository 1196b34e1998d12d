import { defineConfig } from "vitest/config"

export default defineConfig({
  // The tests among the examples import this package by its name.
  ssr: { resolve: { conditions: ["effect-local-llm:source", "module", "node", "development|production"] } },
  test: {
    include: ["{test,examples}/**/*.test.ts"],
    // Those need servers, or a browser, that are not part of this repository.
    exclude: ["test/{real,browser}/**"],
    testTimeout: 20_000
  }
})
