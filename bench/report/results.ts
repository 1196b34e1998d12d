// The figures of one measure, where they come from, and whether they meet its targets.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { cpus, release, totalmem, type } from "node:os"
import { versionOf } from "../gateway/litellm.ts"
import type { Row, Target } from "../measures/Measure.ts"
import { median } from "../statistics.ts"
import { entryOf, everySubject } from "../subjects/catalogue.ts"

export interface Result {
  readonly measure: string
  /** The day on which it was measured. */
  readonly date: string
  /** The machine and the versions. */
  readonly environment: string
  readonly rows: ReadonlyArray<Row>
}

/** The median of a subject's figure, NaN if it was not measured. */
export function medianOf(rows: ReadonlyArray<Row>, subject: string, figure: string): number {
  return median(rows.find((row) => row.subject === subject)?.figures[figure] ?? [])
}

/** The value that a target limits, NaN if a figure is missing. */
export function valueOf({ subject, figure, times, above, aboveFigure }: Target, rows: ReadonlyArray<Row>): number {
  const own = medianOf(rows, subject, figure)
  if (times !== undefined) return own / medianOf(rows, times, figure)
  if (above === undefined && aboveFigure === undefined) return own
  return own - medianOf(rows, above ?? subject, aboveFigure ?? figure)
}

/** A subject that failed without any figure, or a failure of this library: an error of the benchmark, however slow the machine. */
export function isBroken({ rows }: Result): boolean {
  return rows.some(({ failures, figures, subject }) => {
    return failures.length > 0 && (Object.keys(figures).length === 0 || subject.startsWith("ours"))
  })
}

/** The machine, the commit and the versions in one line. */
export function describeEnvironment(litellm?: string): string {
  const cores = cpus()
  const machine = `${cores.length} cores (${cores[0]?.model ?? "unknown"}), ${Math.round(totalmem() / 1e9)} GB`
  const commit = execFileSync("git", ["describe", "--always", "--dirty", "--exclude=*"], { encoding: "utf8" }).trim()
  const peers = new Set(everySubject.flatMap((name) => entryOf(name).packages ?? []))
  const packages = ["effect", "@effect/platform-node", "undici"].map((name) => `../node_modules/${name}`)
  const versions = [
    `Node's fetch (undici) ${process.versions.undici}`,
    `${versionIn("..")} (${commit})`,
    ...[...packages, ...Array.from(peers, (name) => `node_modules/${name}`)].map(versionIn),
    ...(litellm === undefined ? [] : [versionOf(litellm)])
  ]
  return `Node ${process.version} on ${type()} ${release()}, ${machine}. ${versions.join(", ")}.`
}

function versionIn(folder: string): string {
  const file = readFileSync(new URL(`../${folder}/package.json`, import.meta.url), "utf8")
  const { name, version } = JSON.parse(file) as { readonly name: string; readonly version: string }
  return `${name} ${version}`
}
