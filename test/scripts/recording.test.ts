/** The drawing of terminal recordings. The recording itself needs a model server: `npm run record`. */
import { describe, expect, it } from "@effect/vitest"
import { play } from "../../scripts/recording/screen.ts"
import { render } from "../../scripts/recording/svg.ts"

const size = { columns: 20, rows: 3 }

const draw = async (...texts: ReadonlyArray<string>): Promise<string> => {
  const outputs = texts.map((text, i) => ({ time: i * 1000, text }))
  return render(await play(outputs, size), { ...size, title: "a test" })
}

describe("a terminal recording", () => {
  it("has the text, its place and its style when they appear", async () => {
    const frames = await play(
      [
        { time: 0, text: "$ ls" },
        { time: 100, text: "\r\n  \u001B[2mdim\u001B[22m \u001B[31mred" }
      ],
      size
    )
    expect(frames.map(({ time }) => time)).toEqual([0, 100])
    expect(frames[0]?.rows[0]).toEqual([{ column: 0, width: 4, text: "$ ls", style: [] }])
    expect(frames[1]?.rows[1]).toEqual([
      { column: 2, width: 3, text: "dim", style: ["dim"] },
      { column: 6, width: 3, text: "red", style: ["color1"] }
    ])
    expect(frames[1]?.cursor).toEqual({ column: 9, row: 1 })
  })

  it("shows what follows at once in one frame", async () => {
    const outputs = [..."spinner"].map((text, i) => ({ time: i * 5, text }))
    const frames = await play(outputs, size)
    expect(frames.length).toBe(1)
    expect(frames[0]?.rows[0]?.[0]?.text).toBe("spinner")
  })

  it("fails if the screen scrolls, because rows are drawn in their places", async () => {
    await expect(play([{ time: 0, text: "\n\n\n\n" }], size)).rejects.toThrow("more rows")
  })

  it("replaces the contents of a row at their times, and shows the last one without animations", async () => {
    const svg = await draw("one", "\rtwo", "\rone")
    // Two seconds, and five for the end.
    expect(svg).toContain("animation:7.00s step-end infinite")
    expect(svg).toContain(
      "@keyframes row0{0%{transform:translate(0,0px)}14.29%{transform:translate(0,-20px)}28.57%{transform:translate(0,0px)}}"
    )
    expect(svg).toContain('transform="translate(0 0)" style="animation-name:row0"')
    expect(svg.match(/>one</g)).toHaveLength(1)
  })

  it("escapes markup and loads nothing", async () => {
    const svg = await draw("<a> & b")
    expect(svg).toContain(">&lt;a&gt; &amp; b<")
    expect(svg.match(/https?:[^"]*/g)).toEqual(["http://www.w3.org/2000/svg"])
    expect(svg).not.toMatch(/<script|<image|href=|@import|url\(/)
  })
})
