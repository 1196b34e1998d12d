/** Programs of users compile with the published types: all of them are checked, not only those that are used. */
import { beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Project from "./project.ts"
import type { Command, ToolName } from "./tools.ts"

const versions: ReadonlyArray<ToolName> = ["TypeScript 5.8", "TypeScript 5.9", "TypeScript 6.0", "TypeScript 7.0"]

const compilerOptions = "--noEmit --strict --exactOptionalPropertyTypes --target es2023 --types node".split(" ")

/** Without its types, this would compile. */
const wrongRequest = `
import type { CompletionRequest } from "effect-local-llm/CompletionRequest"
// @ts-expect-error a model is a string
export const wrong: CompletionRequest = { model: 1, prompt: "Why?" }
`

describe.skipIf(Project.isMissing("npm"))("the types of the installed package", () => {
  let project: Project.Project
  beforeAll(async () => {
    project = Project.make("typescript")
    const source = `${Project.consumer}\n${wrongRequest}`
    project.write("consumer.ts", source)
    // The same in CommonJS, where imports become calls of `require`.
    project.write("consumer.cts", source)
    const dependencies = ["effect", "@effect/platform-node", "@types/node"].map(Project.tested)
    await Effect.runPromise(
      project.run(["npm", "install", "--no-audit", "--no-fund", "effect-local-llm", ...dependencies])
    )
  })

  describe.for(versions)("%s", (version) => {
    const compile = (...args: ReadonlyArray<string>): Command => [
      ...Project.tool(version).command,
      ...compilerOptions,
      ...args
    ]

    it.live.skipIf(Project.isMissing(version))("compiles modules and CommonJS with --module nodenext", () =>
      project.run(compile("--module", "nodenext", "--skipLibCheck", "false", "consumer.ts", "consumer.cts"))
    )

    it.live.skipIf(Project.isMissing(version))("compiles modules with --moduleResolution bundler", () =>
      project.run(compile("--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck", "consumer.ts"))
    )
  })
})
