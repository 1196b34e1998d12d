/** Browsers have no modules of Node. What the bundles do in one is tested in `test/browser`. */
import { describe, expect, it } from "@effect/vitest"
import { bundle } from "../../scripts/support/bundle.ts"
import { listFiles, root } from "../../scripts/support/repository.ts"

const publicModules = listFiles("src", ".ts").filter((file) => /^\w+\.ts$/.test(file))

describe("a bundle for browsers", () => {
  it("of every public module has no module of Node", async () => {
    expect(publicModules).toContain("Discovery.ts")
    const code = publicModules.map((file) => `export * as ${file.replace(".ts", "")} from "${root}src/${file}"`)
    const { nodeModules } = await bundle({ code: code.join("\n") })
    expect(nodeModules).toEqual([])
  })

  it("of the fake server has one, so that this is noticed", async () => {
    expect((await bundle({ file: `${root}src/testing/index.ts` })).nodeModules).toEqual(["node:http"])
  })

  it("of one provider is far smaller than that of all modules", async () => {
    const { code } = await bundle({ code: 'export { make } from "effect-local-llm/Ollama"' })
    const { code: all } = await bundle({ file: `${root}src/index.ts` })
    expect(code.length).toBeLessThan(0.8 * all.length)
  })
})
