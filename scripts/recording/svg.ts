/** Frames of a terminal as an animated SVG: CSS only, without scripts and without anything from elsewhere. */
import type { Frame, Run } from "./screen.ts"

const cell = { width: 8.4, height: 20 }
const fontSize = 14
const padding = 18
const bar = 34

/** How long the end is shown before the recording starts again, in milliseconds. */
const pauseAtEnd = 5000

/** A property with the values that it has from the times on, in percent of the recording. */
type Values = ReadonlyArray<{ readonly at: string; readonly value: string }>

/** The title is what a screen reader says. */
export const render = (
  frames: ReadonlyArray<Frame>,
  { columns, rows, title }: { readonly columns: number; readonly rows: number; readonly title: string }
): string => {
  const end = (frames.at(-1)?.time ?? 0) + pauseAtEnd
  const at = (time: number): string => `${Number(((100 * time) / end).toFixed(2))}%`
  const width = Math.ceil(columns * cell.width + 2 * padding)
  const height = bar + rows * cell.height + padding
  const lines = Array.from({ length: rows }, (_, row) => renderRow(row, frames, at)).filter(
    (line) => line !== undefined
  )
  const cursor: Values = frames.map(({ cursor: { column, row }, time }) => ({
    at: at(time),
    value: `translate(${round(column * cell.width)}px,${row * cell.height}px)`
  }))

  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">
<title id="title">${escape(title)}</title>
<style>
text{font:${fontSize}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3;white-space:pre}
.dim{fill:#8b949e}.bold{font-weight:bold}
.color1{fill:#ff7b72}.color2{fill:#3fb950}.color3{fill:#d29922}.color4{fill:#58a6ff}.color5{fill:#bc8cff}.color6{fill:#39c5cf}
.move{animation:${(end / 1000).toFixed(2)}s step-end infinite}
@media (prefers-reduced-motion:reduce){.move{animation:none!important}}
${lines.map(({ keyframes }) => keyframes).join("")}${toKeyframes("cursor", cursor)}
</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117" stroke="#30363d"/>
<g fill="#30363d"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6"/><circle cx="60" cy="18" r="6"/></g>
<svg x="${padding}" y="${bar}" width="${round(columns * cell.width)}" height="${rows * cell.height}">
<rect class="move" width="${cell.width}" height="${cell.height}" fill="#6e7681" ${animate("cursor", cursor)}/>
${lines.map(({ markup }) => markup).join("\n")}
</svg>
</svg>
`
}

/** A row is a strip of all its contents, of which one is visible. */
const renderRow = (row: number, frames: ReadonlyArray<Frame>, at: (time: number) => string) => {
  const contents: Array<string> = []
  const values: Array<Values[number]> = []
  let visible: number | undefined
  for (const { rows, time } of frames) {
    const content = renderRuns(rows[row] ?? [])
    if (!contents.includes(content)) contents.push(content)
    const index = contents.indexOf(content)
    if (index === visible) continue
    visible = index
    values.push({ at: at(time), value: `translate(0,${-index * cell.height}px)` })
  }
  if (contents.every((content) => content === "")) return undefined
  const name = `row${row}`
  const strip = contents.map((content, i) =>
    content === "" ? "" : `<g transform="translate(0,${i * cell.height + 15})">${content}</g>`
  )
  return {
    keyframes: toKeyframes(name, values),
    markup:
      `<svg y="${row * cell.height}" height="${cell.height}">` +
      `<g class="move" ${animate(name, values)}>${strip.join("")}</g></svg>`
  }
}

/** The text has the width of its cells, whatever font it is shown in. */
const renderRuns = (runs: ReadonlyArray<Run>): string =>
  runs
    .map(({ column, style, text, width }) => {
      const name = style.length === 0 ? "" : ` class="${style.join(" ")}"`
      const x = column === 0 ? "" : ` x="${round(column * cell.width)}"`
      return `<text${x}${name} textLength="${round(width * cell.width)}">${escape(text)}</text>`
    })
    .join("")

const toKeyframes = (name: string, values: Values): string =>
  `@keyframes ${name}{${values.map(({ at, value }) => `${at}{transform:${value}}`).join("")}}\n`

/** The attribute shows the end in programs that show no animations. They know no transforms of CSS either. */
const animate = (name: string, values: Values): string => {
  const [x = "0", y = "0"] = values.at(-1)?.value.match(/-?[\d.]+/g) ?? []
  return `transform="translate(${x} ${y})" style="animation-name:${name}"`
}

const round = (pixels: number): number => Math.round(pixels * 10) / 10

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("  ", " \u00A0")
