import { defineConfig } from "vitest/config"

/** The packed package on runtimes, and installed by package managers: `npm run test:runtimes`. */
export default defineConfig({
  test: {
    include: ["test/runtimes/*.test.ts"],
    globalSetup: "test/runtimes/setup.ts",
    maxWorkers: "100%",
    // Installing downloads packages.
    testTimeout: 300_000,
    hookTimeout: 300_000
  }
})
