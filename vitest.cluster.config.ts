import { defineConfig } from "vitest/config"

/** Several gateways with nginx, Redis and PostgreSQL: `npm run test:cluster`. */
export default defineConfig({
  test: {
    include: ["test/cluster/**/*.test.ts"],
    globalSetup: ["test/support/bundleCommandLine.ts", "test/cluster/setup.ts"],
    // Several programs start and end in a test, on a machine that may be busy.
    testTimeout: 180_000,
    hookTimeout: 180_000
  }
})
