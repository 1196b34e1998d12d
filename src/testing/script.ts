/** What a fake server sends, and what it has received. `FakeServer` makes these types public. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { FinishReason, ToolCall, Usage } from "../StreamingChunk.ts"

/**
 * One piece of a completion, sent in a record of its own as the protocol of the request writes it. A string is a piece of the text.
 *
 * @category models
 * @since 0.1.0
 */
export type Piece =
  | string
  | {
      /** Left out in the OpenAI-compatible plain completion, which has none. */
      readonly thinking: string
    }
  | {
      /** Left out in the OpenAI-compatible plain completion, which has none. */
      readonly toolCall: ToolCall
    }
  | {
      /** The error record with which a server ends a completion. What would come after it is not sent. */
      readonly error: string
    }
  | {
      /** A record with this text in place of its JSON, such as `"{not json"`: a line of Ollama, an event of LM Studio. */
      readonly record: string
    }
  | {
      /** Bytes as they are. */
      readonly raw: string | Uint8Array
    }
  | {
      /** Nothing is sent for this time. */
      readonly wait: Duration.Input
    }

/**
 * How the bytes of a response are sent. All fields are optional: without them each record is written whole and at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delivery {
  /** How long the server waits. Default: not at all. */
  readonly delay?:
    | {
        /** From the request to the headers; `Infinity` for none ever. Default: 0. */
        readonly headers?: Duration.Input | undefined
        /** From the headers to the first piece. Ollama sends its headers with the first piece, so both come after it. Default: 0. */
        readonly first?: Duration.Input | undefined
        /** From one piece to the next. Default: 0. */
        readonly between?: Duration.Input | undefined
      }
    | undefined
  /** The status of an interim response before the headers, which the client did not ask for. Default: none. */
  readonly interim?: 100 | 102 | undefined
  /** Writes a few bytes at once. Default: whole records, no wait. */
  readonly drip?:
    | {
        /** How many bytes at once, at most. */
        readonly bytes: number
        /** How long to wait between two writes. Default: not at all. */
        readonly every?: Duration.Input | undefined
      }
    | undefined
  /** Cuts the response off. Default: it is sent whole. */
  readonly cut?: Cut | undefined
  /** Keeps the response open after its last byte until the client closes it. Default: `false`. */
  readonly holdOpen?: boolean | undefined
}

/**
 * How a response is cut off, and where.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cut {
  /**
   * - `end`: the body ends as a whole one would; only its end marker is missing.
   * - `close`: the connection is closed in the middle of the body.
   * - `reset`: the connection is reset, as by a server that was killed.
   * - `stall`: nothing more is sent, and the connection stays open until the client closes it.
   */
  readonly how: "end" | "close" | "reset" | "stall"
  /**
   * After how many bytes of the body. With 0, `close` and `reset` come before the headers. A shorter body is sent whole. Default: after
   * the last piece, before the end marker.
   */
  readonly afterBytes?: number | undefined
}

/**
 * What a model generates: `thinking`, `text`, `pieces`, `toolCalls`, in this order, then the end marker of the protocol. All fields are
 * optional.
 *
 * @category models
 * @since 0.1.0
 */
export interface Completion extends Delivery {
  /** Sent one word in each record. */
  readonly thinking?: string | undefined
  /** Sent one word in each record. */
  readonly text?: string | undefined
  /** A list, a generator, which may be endless, or a `Stream`, which also decides when each piece is sent. */
  readonly pieces?: Iterable<Piece> | Stream.Stream<Piece> | undefined
  /** Sent one in each record. Default: none. */
  readonly toolCalls?: ReadonlyArray<ToolCall> | undefined
  /** Default: `tool-calls` if there are any, else `stop`. Ollama sends `stop` for both. */
  readonly finishReason?: FinishReason | undefined
  /** Default: 10 tokens for the prompt, one for each piece. `false` for none. */
  readonly usage?: Usage | false | undefined
  /** The model that generates it. Default: the one of the request. */
  readonly model?: string | undefined
}

/**
 * A response as any server may send it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reply extends Delivery {
  /** The HTTP status. */
  readonly status: number
  /** Default: the `content-type` that goes with `body`. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** An object is sent as JSON. Default: empty. */
  readonly body?: string | Uint8Array | object | undefined
}

/**
 * The response to a request. A `Completion` is for requests for one; other requests get what the real servers send. A `Reply` is for any
 * request.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = Completion | Reply

/**
 * The response to each request, or a function that returns it.
 *
 * @category models
 * @since 0.1.0
 */
export type Script = Answer | ((request: ReceivedRequest) => Answer | Effect.Effect<Answer>)

/**
 * A request that the server received, and the state of its response.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReceivedRequest {
  /** How many came before it, without the preflights. */
  readonly index: number
  /** The method, such as `POST`. */
  readonly method: string
  /** The path, with the query if there is one. */
  readonly path: string
  /** The headers, with names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The parsed body; its text if that is not JSON, `undefined` if there is none. */
  readonly body: unknown
  /**
   * - `answering`: not over yet.
   * - `completed`: everything that the script contains was sent.
   * - `cut-by-client`: the client closed the connection before that.
   * - `cut-by-server`: the script cut it, or the server was closed.
   */
  readonly outcome: "answering" | "completed" | "cut-by-client" | "cut-by-server"
  /** Bytes of the response's body that were written to the network so far. */
  readonly bytesWritten: number
}

/**
 * The requests and connections so far.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** The requests, in the order in which they came, without the preflights. */
  readonly requests: ReadonlyArray<ReceivedRequest>
  /** What browsers asked before they sent a request of a page of another origin. */
  readonly preflights: ReadonlyArray<ReceivedRequest>
  /** Connections that are open now, those included that a client keeps for its next request. */
  readonly openConnections: number
  /** Connections that were ever opened. */
  readonly connections: number
}
