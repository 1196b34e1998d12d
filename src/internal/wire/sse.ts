/**
 * Server-sent events from lines, by the rules of the HTML standard, section 9.2.6. The lines come without their ends and
 * the text without its byte order mark. `id` and `retry` are for reconnecting, which no completion can do: they are left out.
 *
 * `effect/encoding/Sse` reads text and splits lines itself; here the lines are bounded and split already.
 */
export interface Event {
  /** The value of the `event` field, or `""`. */
  readonly name: string
  readonly data: string
}

export interface Parser {
  /** Takes one line; the empty one that ends an event gives the event. */
  readonly line: (line: string) => Event | undefined
  /** An event that was begun and not ended. The standard drops it; here its content decides. */
  readonly end: () => Event | undefined
  /** The event that was begun is longer than allowed. */
  readonly isTooLong: () => boolean
}

export const make = (maxLineBytes: number): Parser => {
  let name = ""
  // undefined: no data field yet. An empty one does make an event.
  let data: string | undefined

  const dispatch = (): Event | undefined => {
    const event = data === undefined ? undefined : { name, data }
    name = ""
    data = undefined
    return event
  }

  return {
    line: (line) => {
      if (line === "") return dispatch()
      const colon = line.indexOf(":")
      // Nearly every line; the general case is below.
      if (colon === 4 && line.startsWith("data")) append(valueAfter(line, colon))
      else if (colon > 0) field(line.slice(0, colon), valueAfter(line, colon))
      else if (colon === -1) field(line, "")
      return undefined
    },
    end: dispatch,
    isTooLong: () => (data?.length ?? 0) > maxLineBytes
  }

  function field(key: string, value: string): void {
    if (key === "data") append(value)
    else if (key === "event") name = value
  }

  function append(value: string): void {
    data = data === undefined ? value : `${data}\n${value}`
  }
}

/** One space after the colon belongs to the syntax, a second one to the value. */
const valueAfter = (line: string, colon: number): string =>
  line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)
