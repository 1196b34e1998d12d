/**
 * Runs before the tests: bundles the command line, whose processes start in a third of the time then. `npm run check:package` runs
 * it as it is published.
 */
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url))

export default async (): Promise<void> => {
  const bundle = await rolldown({
    input: path("src/cli/main.ts"),
    platform: "node",
    // A CommonJS package, which is imported as it is.
    external: ["undici"],
    // It runs as it is imported.
    treeshake: { moduleSideEffects: [{ test: /\/src\/cli\//, sideEffects: true }] }
  })
  // As deep as the source, which reads the version in package.json.
  await bundle.write({ dir: path(".cache/commandLine"), cleanDir: true })
}
