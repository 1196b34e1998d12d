import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Those need servers, or a browser, that are not part of this repository.
    exclude: ["test/{real,browser}/**"],
    testTimeout: 20_000
  }
})
