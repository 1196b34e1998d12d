import { defineConfig } from "vitest/config"

/** The tests in a browser: `npm run test:browser`. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    // One of them is against a real llama.cpp server.
    globalSetup: "test/real/setup.ts",
    // One browser at a time: it is heavy, and some tests look at the clock.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
