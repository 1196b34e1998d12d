// Bar charts as SVG. Their colours are readable on white and on black.
import { formatNumber } from "./page.ts"

export interface Group {
  readonly title: string
  readonly bars: ReadonlyArray<{ readonly label: string; readonly value: number; readonly colour: string }>
}

const labelWidth = 215
const barWidth = 460
const rowHeight = 24

/** The bars of all groups have one scale, which begins at 0. */
export function drawBars(title: string, digits: number, groups: ReadonlyArray<Group>): string {
  const largest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ value }) => value)))
  let bottom = rowHeight
  const line = (x: number, attributes: string, text: string) =>
    `<text x="${x}" y="${bottom - 7}" ${attributes}>${text}</text>`
  const parts = [line(0, `font-size="15" font-weight="bold"`, title)]
  for (const { title, bars } of groups) {
    bottom += 1.5 * rowHeight
    parts.push(line(labelWidth, `font-size="13" font-weight="bold"`, title))
    for (const { colour, label, value } of bars) {
      bottom += rowHeight
      const width = Math.round((barWidth * value) / largest)
      parts.push(
        line(labelWidth - 8, `text-anchor="end"`, label),
        `<rect x="${labelWidth}" y="${bottom - 20}" width="${width}" height="16" fill="${colour}"/>`,
        line(labelWidth + width + 6, "", formatNumber(value, digits))
      )
    }
  }
  const size = `viewBox="0 0 ${labelWidth + barWidth + 70} ${bottom}" width="${labelWidth + barWidth + 70}" height="${bottom}"`
  const font = `font-family="system-ui, sans-serif" font-size="12" fill="#7d8590"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>\n${parts.join("\n")}\n</svg>\n`
}
