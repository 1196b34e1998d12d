import { defineConfig } from "vitest/config"

/** Several gateways with nginx, Redis and PostgreSQL: `npm run test:cluster`. */
export default defineConfig({
  test: {
    include: ["test/cluster/**/*.test.ts"],
    globalSetup: ["test/support/bundleCommandLine.ts", "test/cluster/setup.ts"],
    testTimeout: 60_000
  }
})
