/** Readers of event streams that this package only writes. They refuse whatever a specification does not allow. */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Progress, Record } from "../../src/protocol/endpoint.ts"
import { ParseError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import type { Protocol } from "./decoding.ts"

class Violation extends Error {}

/** Refuses an event unless something holds. */
export const expectThat: (isTrue: boolean, what: string) => asserts isTrue = (isTrue, what) => {
  if (!isTrue) throw new Violation(what)
}

export type ReadEvent<E> = (event: E, chunks: Array<StreamingChunk>) => Progress

/** A protocol of events that have no fields but those of their schema. The name of each is its `type`. */
export const makeProtocol = <E extends { readonly type: string }>(
  schema: Schema.ConstraintDecoder<E>,
  makeReader: () => ReadEvent<E>
): Protocol => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })
  const readRecord = ({ data, name }: Record, read: (event: E) => Progress): Progress => {
    const event = Result.getOrElse(decode(JSON.parse(data)), (error): never => {
      throw new Violation(`${name}: ${error.message}`)
    })
    expectThat(event.type === name, `the event ${name} has the type ${event.type}`)
    return read(event)
  }
  return {
    framing: "sse",
    decoder: () => {
      const read = makeReader()
      return {
        record: (record, chunks) => {
          try {
            return readRecord(record, (event) => read(event, chunks))
          } catch (error) {
            if (!(error instanceof Violation)) throw error
            return new ParseError({ description: error.message, excerpt: Redacted.make(record.data) })
          }
        }
      }
    }
  }
}
