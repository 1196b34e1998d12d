import { builtinModules } from "node:module"
import { rolldown } from "rolldown"
import { root } from "./repository.ts"

export interface Bundle {
  readonly code: string
  /** The modules of Node that are not in it, because browsers have none. */
  readonly nodeModules: ReadonlyArray<string>
}

/** Bundles a module for browsers, from the sources of this library. The module is a file, or the code of one in the root folder. */
export const bundle = async (
  entry: { readonly file: string } | { readonly code: string },
  { minify = false }: { readonly minify?: boolean } = {}
): Promise<Bundle> => {
  const input = "file" in entry ? entry.file : `${root}/bundle-entry.ts`
  const build = await rolldown({
    input,
    platform: "browser",
    resolve: { conditionNames: ["effect-local-llm:source", "browser"] },
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === input ? id : null),
        load: (id) => ("code" in entry && id === input ? entry.code : null)
      }
    ],
    // Modules of Node are external; they are reported here.
    onLog: () => {}
  })
  const { output } = await build.generate({ minify, codeSplitting: false })
  await build.close()
  const imports = output.flatMap((part) => (part.type === "chunk" ? [...part.imports, ...part.dynamicImports] : []))
  const isOfNode = (name: string) => name.startsWith("node:") || builtinModules.includes(name)
  const missing = imports.filter((name) => !isOfNode(name))
  if (missing.length > 0) throw new Error(`cannot be resolved: ${missing.join(", ")}`)
  return { code: output[0].code, nodeModules: imports.filter(isOfNode) }
}
