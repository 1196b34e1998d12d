/**
 * Runs before the tests: bundles the command line, whose processes start in a third of the time then. `npm run check:package` runs
 * it as it is published.
 */
import { rm } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

/** Returns what to do after the tests. */
export default async (): Promise<() => Promise<void>> => {
  const bundle = await rolldown({
    input: { main: path("src/cli/main.ts"), redirectPorts: path("test/support/redirectPorts.ts") },
    platform: "node",
    // A CommonJS package, which is imported as it is.
    external: ["undici"],
    // They run as they are imported.
    treeshake: { moduleSideEffects: [{ test: /\/(src\/cli|test\/support)\//, sideEffects: true }] }
  })
  // As deep as the source, which reads the version in package.json. Tests that run at the same time have bundles of their own.
  const folder = path(`.cache/commandLine-${process.pid}`)
  await bundle.write({ dir: folder, cleanDir: true })
  process.env["COMMAND_LINE"] = folder
  // Their compiled code, and that of the programs that the tests start, is kept as long as the bundle.
  process.env["NODE_COMPILE_CACHE"] = `${folder}/compiled`
  return () => rm(folder, { recursive: true, force: true, maxRetries: 3 })
}
