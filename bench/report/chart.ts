// Bar charts as SVG. Their colours are readable on white and on black.
import { measureNamed } from "../measures/all.ts"
import { median } from "../statistics.ts"
import { entryOf, type SubjectName } from "../subjects/catalogue.ts"
import { formatNumber } from "./page.ts"
import type { Result } from "./results.ts"

const colours = { ours: "#2f81f7", variant: "#2f81f7", floor: "#57ab5a", buffered: "#d4843e", peer: "#8b949e" }
const protocols = { ndjson: "NDJSON (Ollama)", sse: "SSE (LM Studio)" }
const labelWidth = 215
const barWidth = 460
const rowHeight = 24

/** The chart of a result, if its measure has one: a bar for each subject, in a group for each protocol. All have one scale. */
export function drawChart({ measure, rows }: Result): string | undefined {
  const { chart, columns } = measureNamed(measure)
  const column = columns.find(({ figure }) => figure === chart?.figure)
  if (chart === undefined || column === undefined) return undefined
  const bars = rows
    .map(({ subject, figures }) => ({
      ...entryOf(subject as SubjectName),
      label: subject.replace(/, (?:NDJSON|SSE)/, ""),
      value: median(figures[chart.figure] ?? [])
    }))
    .filter(({ value }) => !Number.isNaN(value))
    .toSorted((one, other) => (chart.best === "high" ? other.value - one.value : one.value - other.value))
  const largest = Math.max(...bars.map(({ value }) => value))
  let bottom = rowHeight
  const line = (x: number, attributes: string, text: string) =>
    `<text x="${x}" y="${bottom - 7}" ${attributes}>${text}</text>`
  const parts = [line(0, `font-size="15" font-weight="bold"`, chart.title)]
  for (const [name, title] of Object.entries(protocols)) {
    bottom += 1.5 * rowHeight
    parts.push(line(labelWidth, `font-size="13" font-weight="bold"`, title))
    for (const { kind, label, value } of bars.filter(({ protocol }) => protocol === name)) {
      bottom += rowHeight
      const width = Math.round((barWidth * value) / largest)
      parts.push(
        line(labelWidth - 8, `text-anchor="end"`, label),
        `<rect x="${labelWidth}" y="${bottom - 20}" width="${width}" height="16" fill="${colours[kind]}"/>`,
        line(labelWidth + width + 6, "", formatNumber(value, column.digits))
      )
    }
  }
  const width = labelWidth + barWidth + 70
  const font = `font-family="system-ui, sans-serif" font-size="12" fill="#7d8590"`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom}" width="${width}" height="${bottom}" ${font}>\n${parts.join("\n")}\n</svg>\n`
}
