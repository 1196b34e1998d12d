// npm run test:browser: the tests in a real browser. It is installed here, with its driver, the first time.
// With CHROMIUM set to the path of a Chromium or Chrome, that one is used.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
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

/** The variables with which `support/chromium.ts` starts a browser. */
type Browser = Readonly<Record<"CHROMIUM" | "CHROMIUM_LIBRARIES", string>>

/** The first browser that starts: that of the user, that of the package, that of the system. */
const findBrowser = (): Browser | undefined => {
  const own = process.env["CHROMIUM"]
  if (own !== undefined && own !== "") return { CHROMIUM: own, CHROMIUM_LIBRARIES: "" }
  return (
    unpackChromium() ??
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
      .map((path) => ({ CHROMIUM: path, CHROMIUM_LIBRARIES: "" }))
      .find(starts)
  )
}

const starts = ({ CHROMIUM, CHROMIUM_LIBRARIES }: Browser): boolean =>
  spawnSync(CHROMIUM, ["--version"], { env: { ...process.env, LD_LIBRARY_PATH: CHROMIUM_LIBRARIES } }).status === 0

/** The one in the package is for Linux on x64, and brings the system libraries that it needs. */
const unpackChromium = (): Browser | undefined => {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined
  const { version } = JSON.parse(readFileSync(join(folder, "node_modules/@sparticuz/chromium/package.json"), "utf8"))
  const cache = join(root, `.cache/chromium-${version}`)
  const browser = { CHROMIUM: join(cache, "chromium"), CHROMIUM_LIBRARIES: join(cache, "al2023/lib") }
  if (starts(browser)) return browser
  // A part of it may be there.
  rmSync(cache, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  const script = 'await (await import("@sparticuz/chromium")).default.executablePath()'
  // It unpacks into the temporary folder, and the libraries only where this variable is set.
  const env = { ...process.env, TMPDIR: cache, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs22.x" }
  spawnSync(process.execPath, ["--input-type=module", "--eval", script], { cwd: folder, stdio: "inherit", env })
  return starts(browser) ? browser : undefined
}

const main = (): boolean => {
  const isInstalled = install()
  const browser = isInstalled ? findBrowser() : undefined
  if (browser === undefined) {
    const reason = isInstalled
      ? "there is none that starts; set CHROMIUM to the path of a Chromium or Chrome"
      : "the packages of test/browser cannot be installed"
    console.log(`SKIPPED: the tests in a browser, because ${reason}`)
    return true
  }
  const vitest = ["run", "--config", "vitest.browser.config.ts", ...process.argv.slice(2)]
  return run("tsc", ["-p", folder]) && run("vitest", vitest, browser)
}

if (!main()) process.exitCode = 1
