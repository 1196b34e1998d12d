import { defineConfig } from "vitest/config"

/** Other people's clients of the gateway: `npm run test:clients`. */
export default defineConfig({
  test: {
    include: ["test/clients/*.test.ts"],
    globalSetup: "test/clients/setup.ts",
    maxWorkers: "100%",
    // A program runs all cases of its clients before the first test.
    hookTimeout: 600_000
  }
})
