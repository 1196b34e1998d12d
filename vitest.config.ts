import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Those need servers, runtimes and package managers that are not part of this repository.
    exclude: ["test/real/**", "test/runtimes/**"],
    testTimeout: 20_000
  }
})
