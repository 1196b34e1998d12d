// npm run docs: the API reference with the guides, as a site. Warnings of the generator are errors.
import { installPackages } from "../scripts/support/repository.ts"

// The generator needs the API of a compiler older than the one that compiles the library, so both are installed here only.
installPackages("reference")
const { generate } = await import("./generate.ts")
if (!(await generate())) process.exitCode = 1
