import { execFileSync, spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** Where package.json is. */
export const root = fileURLToPath(new URL("../..", import.meta.url))

/** The files below a folder of the repository whose names end so, relative to that folder, with `/` on every system. */
export const listFiles = (folder: string, ending: string): ReadonlyArray<string> =>
  readdirSync(new URL(`../../${folder}`, import.meta.url), { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(ending))
    .toSorted()

/** Installs the packages of a folder that has a package.json of its own, unless they are there in their versions. */
export const installPackages = (folder: string): void => {
  const cwd = join(root, folder)
  if (spawnSync("npm", ["ls"], { cwd }).status === 0) return
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd, stdio: "inherit" })
}
