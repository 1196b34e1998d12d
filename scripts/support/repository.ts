import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Where package.json is. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

/** The files below a folder of the repository whose names end so, relative to that folder, with `/` on every system. */
export const listFiles = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(new URL(`../../${folder}`, import.meta.url), { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(ending))
    .toSorted()
