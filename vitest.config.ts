import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Those need servers that are not part of this repository.
    exclude: ["test/real/**"],
    testTimeout: 20_000
  }
})
