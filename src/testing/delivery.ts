/** Sends a response with its delays and cuts, and with back-pressure. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Http from "node:http"
import type { Wire } from "./records.ts"
import type { Completion, Cut, Delivery, Piece, Reply } from "./script.ts"

export interface Channel {
  readonly response: Http.ServerResponse
  /** Called with the number of bytes of the body that were written. */
  readonly onWritten: (bytes: number) => void
  /** Called when the script cuts the response. */
  readonly onCut: () => void
}

/** Sends a completion. Interrupted when the client disconnects. */
export const sendCompletion = (channel: Channel, completion: Completion, wire: Wire): Effect.Effect<void> =>
  send(channel, completion, {
    head: { status: 200, headers: { "content-type": wire.contentType } },
    headersAtOnce: wire.headersAtOnce,
    body: Effect.fnUntraced(function* (write) {
      const { delay, finishReason, usage } = completion
      let count = 0
      let calls = 0
      let isOver = false
      yield* toPieces(completion).pipe(
        Stream.takeUntil(isError),
        Stream.runForEach((piece) => {
          if (typeof piece === "object" && "wait" in piece) return Effect.sleep(piece.wait)
          isOver = isError(piece)
          const bytes = encode(wire, piece, calls)
          if (typeof piece === "object" && "toolCall" in piece) calls++
          return Effect.andThen(pause(count++ === 0 ? 0 : delay?.between), write(bytes))
        })
      )
      if (isOver) return ""
      return wire.end({
        finishReason: finishReason ?? (calls > 0 ? "tool-calls" : "stop"),
        usage: usage === false ? undefined : (usage ?? toUsage(count))
      })
    })
  })

const isError = (piece: Piece): boolean => typeof piece === "object" && "error" in piece

const toUsage = (count: number) => ({ promptTokens: 10, completionTokens: count, totalTokens: 10 + count })

const encode = (wire: Wire, piece: Exclude<Piece, { readonly wait: unknown }>, calls: number): string | Uint8Array => {
  if (typeof piece === "object") {
    if ("error" in piece) return wire.error(piece.error)
    if ("raw" in piece) return piece.raw
    if ("record" in piece) return wire.record(piece.record)
  }
  return wire.content(piece, calls)
}

/** Sends any other response. */
export const sendReply = (channel: Channel, reply: Reply): Effect.Effect<void> => {
  const { body = "" } = reply
  const isJson = typeof body === "object" && !(body instanceof Uint8Array)
  const type = isJson ? "application/json; charset=utf-8" : "text/plain; charset=utf-8"
  return send(channel, reply, {
    head: { status: reply.status, headers: { "content-type": type, ...reply.headers } },
    headersAtOnce: true,
    body: (write) => Effect.as(write(isJson ? JSON.stringify(body) : body), "")
  })
}

/** A word with the space before it is similar to a token. */
const words = (text: string | undefined): ReadonlyArray<string> => text?.match(/\s*\S+|\s+$/g) ?? []

const toPieces = ({ pieces = [], text, thinking, toolCalls = [] }: Completion): Stream.Stream<Piece> =>
  Stream.fromIterable<Piece>(words(thinking).map((thinking) => ({ thinking }))).pipe(
    Stream.concat(Stream.fromIterable(words(text))),
    Stream.concat(Stream.isStream(pieces) ? pieces : Stream.fromIterable(pieces, { chunkSize: 1 })),
    Stream.concat(Stream.fromIterable(toolCalls.map((toolCall) => ({ toolCall }))))
  )

const pause = (time: Duration.Input = 0): Effect.Effect<void> => (time === 0 ? Effect.void : Effect.sleep(time))

type Write = (bytes: string | Uint8Array) => Effect.Effect<void, Cut>

const send = Effect.fnUntraced(
  function* (
    channel: Channel,
    { cut, delay, drip, holdOpen, interim }: Delivery,
    content: {
      readonly head: { readonly status: number; readonly headers: Record<string, string> }
      readonly headersAtOnce: boolean
      /** Writes the body, and gives its end marker. */
      readonly body: (write: Write) => Effect.Effect<string, Cut>
    }
  ) {
    const { response } = channel
    checkCount("drip.bytes", drip?.bytes, 1)
    checkCount("cut.afterBytes", cut?.afterBytes, 0)
    yield* pause(delay?.headers)
    if (cut?.afterBytes === 0 && (cut.how === "close" || cut.how === "reset")) return yield* Effect.fail(cut)
    if (interim === 100) response.writeContinue()
    if (interim === 102) response.writeProcessing()
    response.writeHead(content.head.status, content.head.headers)
    if (content.headersAtOnce) response.flushHeaders()
    yield* pause(delay?.first)

    let bytesLeft = cut?.afterBytes ?? Infinity
    const write: Write = Effect.fnUntraced(function* (data) {
      const bytes = typeof data === "string" ? Buffer.from(data) : data
      const fitting = bytes.subarray(0, bytesLeft)
      const size = drip?.bytes ?? fitting.length
      for (let start = 0; start < fitting.length; start += size) {
        if (start > 0) yield* pause(drip?.every)
        const part = fitting.subarray(start, start + size)
        yield* flush(response, part)
        channel.onWritten(part.length)
      }
      bytesLeft -= fitting.length
      if (cut !== undefined && bytesLeft === 0) return yield* Effect.fail(cut)
    })

    const endMarker = yield* content.body(write)
    if (cut !== undefined && cut.afterBytes === undefined) return yield* Effect.fail(cut)
    yield* write(endMarker)
    if (holdOpen) return yield* Effect.never
    response.end()
  },
  (effect, channel) => Effect.catch(effect, (cut) => sever(channel, cut))
)

/** A fault of the script. With such a number the response would be empty, whole or endless. */
const checkCount = (name: string, value: number | undefined, minimum: number): void => {
  if (value === undefined || (Number.isSafeInteger(value) && value >= minimum)) return
  throw new RangeError(`${name}: expected a whole number, ${minimum} or more`)
}

/**
 * Completes when the network has taken the bytes and a turn of the event loop has passed. A client in the same process then reads one
 * record at a time, as from a server that needs time between two tokens.
 */
const flush = (response: Http.ServerResponse, bytes: Uint8Array): Effect.Effect<void> =>
  Effect.callback((resume) => {
    response.write(bytes, (error) => {
      // The client has disconnected, so this fiber is about to be interrupted.
      if (error == null) setImmediate(() => resume(Effect.void))
    })
  })

const sever = ({ onCut, response }: Channel, { how }: Cut): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (how === "stall") {
      response.flushHeaders()
      return Effect.never
    }
    onCut()
    if (how === "end") response.end()
    else if (how === "close") response.socket?.destroySoon()
    else response.socket?.resetAndDestroy()
    return Effect.void
  })
