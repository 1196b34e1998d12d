import { defineConfig } from "vitest/config"

/** The tests against real servers: `npm run test:real`. */
export default defineConfig({
  test: {
    include: ["test/real/**/*.test.ts"],
    globalSetup: ["test/support/bundleCommandLine.ts", "test/real/setup.ts"],
    // One engine at a time: they compute on the same cores, and some tests look at the clock.
    fileParallelism: false,
    testTimeout: 120_000
  }
})
