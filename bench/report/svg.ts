// Two kinds of chart, written by hand. Their colours are readable on white as well as on black.

/** Who a bar or line stands for. */
export type Tone = "ours" | "floor" | "other"

export interface Bar {
  readonly label: string
  readonly value: number
  readonly tone: Tone
}

export interface Group {
  readonly name: string
  readonly bars: ReadonlyArray<Bar>
}

export interface Line {
  readonly label: string
  readonly tone: Tone
  readonly points: ReadonlyArray<{ readonly x: number; readonly y: number }>
}

interface Axis {
  readonly title: string
  readonly ticks: ReadonlyArray<number>
}

const colours: Readonly<Record<Tone, string>> = { ours: "#2f81f7", floor: "#57ab5a", other: "#8b949e" }
const textColour = "#7d8590"
const gridColour = "#7d859040"
const width = 760

/** Horizontal bars in groups, the value written at each. */
export function barChart(title: string, groups: ReadonlyArray<Group>, format: (value: number) => string): string {
  const left = 215
  const lineHeight = 24
  const longest = Math.max(...groups.flatMap(({ bars }) => bars.map(({ value }) => value)))
  let y = 34
  const drawn = groups.flatMap(({ name, bars }) => {
    const heading = text(10, (y += lineHeight) - 8, name, { weight: 600 })
    const lines = bars.flatMap(({ label, value, tone }) => {
      const length = (value / longest) * (width - left - 80)
      const top = y
      y += lineHeight
      return [
        text(left - 10, top + 14, label, { anchor: "end" }),
        `<rect x="${left}" y="${top + 2}" width="${length.toFixed(1)}" height="16" rx="2" fill="${colours[tone]}"/>`,
        text(left + length + 8, top + 14, format(value))
      ]
    })
    return [heading, ...lines]
  })
  return image(y + 10, title, drawn)
}

/** Lines over two logarithmic axes, the name of each at its end. */
export function lineChart(title: string, xAxis: Axis, yAxis: Axis, lines: ReadonlyArray<Line>): string {
  const area = { left: 60, right: width - 190, top: 50, bottom: 340 }
  const x = logarithmic(xAxis.ticks, area.left, area.right)
  const y = logarithmic(yAxis.ticks, area.bottom, area.top)
  const grid = [
    ...xAxis.ticks.flatMap((tick) => [
      rule(x(tick), area.top, x(tick), area.bottom),
      text(x(tick), area.bottom + 18, tick.toLocaleString("en-US"), { anchor: "middle" })
    ]),
    ...yAxis.ticks.flatMap((tick) => [
      rule(area.left, y(tick), area.right, y(tick)),
      text(area.left - 8, y(tick) + 4, tick.toLocaleString("en-US"), { anchor: "end" })
    ]),
    text((area.left + area.right) / 2, area.bottom + 38, xAxis.title, { anchor: "middle" }),
    text(area.left, area.top - 10, yAxis.title)
  ]
  const drawn = lines.map(({ points, tone }) => {
    const path = points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(" ")
    return `<polyline points="${path}" fill="none" stroke="${colours[tone]}" stroke-width="2.5" stroke-linejoin="round"/>`
  })
  const ends = lines.flatMap(({ label, tone, points }) => {
    const end = points.at(-1)
    return end === undefined ? [] : [{ label, tone, x: x(end.x), y: y(end.y) }]
  })
  return image(area.bottom + 50, title, [...grid, ...drawn, ...namesBeside(ends)])
}

interface LineEnd {
  readonly label: string
  readonly tone: Tone
  readonly x: number
  readonly y: number
}

/** Names at the ends of lines, moved down where they would cover each other. */
function namesBeside(ends: ReadonlyArray<LineEnd>): ReadonlyArray<string> {
  const lineHeight = 15
  let lowest = Number.NEGATIVE_INFINITY
  return ends
    .toSorted((one, other) => one.y - other.y)
    .map(({ label, tone, x, y }) => {
      lowest = Math.max(y + 4, lowest + lineHeight)
      return text(x + 8, lowest, label, { colour: colours[tone] })
    })
}

function logarithmic(ticks: ReadonlyArray<number>, from: number, to: number): (value: number) => number {
  const [low, high] = [Math.log(Math.min(...ticks)), Math.log(Math.max(...ticks))]
  return (value) => from + ((Math.log(value) - low) / (high - low)) * (to - from)
}

function rule(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${gridColour}"/>`
}

function text(
  x: number,
  y: number,
  content: string,
  { anchor = "start", colour = textColour, weight = 400 } = {}
): string {
  const style = `text-anchor="${anchor}" fill="${colour}" font-weight="${weight}"`
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${escape(content)}</text>`
}

function image(height: number, title: string, content: ReadonlyArray<string>): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`
  return [
    `${head} role="img" font-family="system-ui, sans-serif" font-size="12.5">`,
    `<title>${escape(title)}</title>`,
    `<text x="10" y="22" font-size="15" font-weight="600" fill="${textColour}">${escape(title)}</text>`,
    ...content,
    "</svg>\n"
  ].join("\n")
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
}
