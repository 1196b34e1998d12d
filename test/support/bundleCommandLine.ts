/**
 * Runs before the tests: bundles the command line, whose processes start in a third of the time then. `npm run check:package` runs
 * it as it is published.
 */
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

export default async (): Promise<void> => {
  const bundle = await rolldown({
    input: { main: path("src/cli/main.ts"), redirectPorts: path("test/support/redirectPorts.ts") },
    platform: "node",
    // A CommonJS package, which is imported as it is.
    external: ["undici"],
    // They run as they are imported.
    treeshake: { moduleSideEffects: [{ test: /\/(src\/cli|test\/support)\//, sideEffects: true }] }
  })
  // As deep as the source, which reads the version in package.json.
  await bundle.write({ dir: path(".cache/commandLine"), cleanDir: true })
  // Their compiled code, and that of the programs that the tests start, is kept until the next bundle.
  process.env["NODE_COMPILE_CACHE"] = path(".cache/commandLine/compiled")
}
