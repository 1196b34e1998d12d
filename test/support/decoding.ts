/** Decoding alone: pieces of bytes in, chunks out, without HTTP. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Endpoint } from "../../src/protocol/endpoint.ts"
import * as Lines from "../../src/http/lines.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import { ProviderError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { encode } from "./bytes.ts"
import type { Transcript } from "./transcript.ts"
import { record } from "./transcript.ts"

export interface Options {
  readonly maxLineBytes?: number | undefined
  /** What breaks the body after its last piece. Default: nothing, it ends. */
  readonly broken?: ProviderErrorReason | undefined
  /** How many pieces come with one pull. Default: 1. */
  readonly together?: number | undefined
}

/** What these tests need of an endpoint. */
export type Protocol = Pick<Endpoint<never, StreamingChunk>, "decoder" | "framing">

/** The chunks that the pieces of a body stand for. */
export const decode = (
  { decoder, framing }: Protocol,
  pieces: ReadonlyArray<Uint8Array>,
  { broken, maxLineBytes = 1024 * 1024, together = 1 }: Options = {}
): Stream.Stream<StreamingChunk, ProviderError> =>
  // A decoder serves one answer: every run makes its own.
  Stream.suspend(() =>
    Lines.decode(
      Stream.concat(
        Stream.fromIterable(pieces, { chunkSize: together }),
        broken === undefined ? Stream.empty : Stream.fail(broken)
      ),
      {
        framing,
        decoder: decoder({ model: "asked", endpoint: "POST /test", maxLineBytes }),
        maxLineBytes,
        toReason: (reason) => reason,
        isAborted: () => false,
        onComplete: () => undefined
      }
    ).pipe(Stream.mapError((reason) => new ProviderError({ provider: "test", reason })))
  )

/** What comes out of a body given as text. */
export const read = (protocol: Protocol, body: string): Effect.Effect<Transcript> =>
  record(decode(protocol, [encode(body)]))

/** A transcript, of which a test names what matters. */
export interface Expected {
  /** Default: none. */
  readonly pieces?: string
  readonly calls?: ReadonlyArray<object>
  readonly final?: object
  /** Some of the fields of the reason. Default: no failure. */
  readonly failure?: object
}

export const check = (
  protocol: Protocol,
  body: string,
  { failure: expectedFailure, ...expected }: Expected
): Effect.Effect<void> =>
  Effect.map(read(protocol, body), ({ failure, ...seen }) => {
    expect(seen).toEqual({ pieces: "", ...expected })
    if (expectedFailure === undefined) expect(failure).toBeUndefined()
    else expect(failure).toMatchObject(expectedFailure)
  })

/** A reader of server-sent events that refuses those of which one is missing, double or late. */
export const expectStrict = (
  protocol: Protocol,
  write: (chunks: ReadonlyArray<StreamingChunk>) => ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    const events = write([
      { content: "x", thinking: "t", isFinal: false },
      {
        content: "",
        isFinal: true,
        toolCalls: [{ id: "c", name: "f", arguments: {} }],
        model: "m",
        finishReason: "tool-calls"
      }
    ])
      .join("")
      .split(/(?<=\n\n)/)
    expect(events.length).toBeGreaterThan(10)
    for (const [i, event] of events.entries()) {
      // The last is an end without it, and texts may have any number of parts.
      if (i === events.length - 1 || /"(?:text|thinking)_delta"/.test(event)) continue
      const others = events.toSpliced(i, 1)
      for (const body of [others, others.toSpliced(i + 1, 0, event), events.toSpliced(i, 0, event)]) {
        const read = yield* record(decode(protocol, [encode(body.join(""))]))
        expect(read.failure?._tag, `${event} in ${body.join("")}`).toBe("ParseError")
      }
    }
  })
