// npm run test:browser: the tests in a real browser. It is installed here, with its driver, the first time.
// With CHROMIUM set to the path of a Chromium or Chrome, that one is used.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL(".", import.meta.url))
const root = join(folder, "../..")
const lock = readFileSync(join(folder, "package-lock.json"), "utf8")
const installedLock = join(folder, "node_modules/.installed.json")

const run = (
  command: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): boolean =>
  spawnSync(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...environment } }).status === 0

/** Once, and again when the lock file changes. */
const install = (): boolean => {
  if (existsSync(installedLock) && readFileSync(installedLock, "utf8") === lock) return true
  if (!run("npm", ["ci", "--prefix", folder, "--no-audit", "--no-fund"])) return false
  writeFileSync(installedLock, lock)
  return true
}

/** The variables with which a browser starts, or `undefined` if there is none. */
const findBrowser = (): Readonly<Record<string, string>> | undefined => {
  const own = process.env["CHROMIUM"]
  if (own !== undefined && own !== "") return { CHROMIUM: own }
  return (
    unpackChromium() ??
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
      .filter(existsSync)
      .map((path) => ({ CHROMIUM: path }))[0]
  )
}

/** The one in the package. It brings the system libraries that it needs, for Linux on x64. */
const unpackChromium = (): Readonly<Record<string, string>> | undefined => {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined
  const { version } = JSON.parse(readFileSync(join(folder, "node_modules/@sparticuz/chromium/package.json"), "utf8"))
  const cache = join(root, `.cache/chromium-${version}`)
  const environment = { CHROMIUM: join(cache, "chromium"), LD_LIBRARY_PATH: join(cache, "al2023/lib") }
  const script = 'await (await import("@sparticuz/chromium")).default.executablePath()'
  mkdirSync(cache, { recursive: true })
  // It unpacks into the temporary folder; the libraries only if it believes to be at its usual place.
  const place = { TMPDIR: cache, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs22.x" }
  const unpacked = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: folder,
    stdio: "inherit",
    env: { ...process.env, ...place }
  })
  if (unpacked.status !== 0) return undefined
  const version_ = spawnSync(environment.CHROMIUM, ["--version"], { env: { ...process.env, ...environment } })
  return version_.status === 0 ? environment : undefined
}

if (!install()) {
  console.log("SKIPPED: the tests in a browser, because their packages cannot be installed")
} else {
  const browser = findBrowser()
  if (browser === undefined) {
    console.log("SKIPPED: the tests in a browser, because there is none; set CHROMIUM to the path of a Chromium")
  } else {
    const vitest = ["run", "--config", "vitest.browser.config.ts", ...process.argv.slice(2)]
    if (!run("tsc", ["-p", folder]) || !run("vitest", vitest, browser)) process.exitCode = 1
  }
}
