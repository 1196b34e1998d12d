/** What makes one server's way of streaming different from another's: three values, no I/O. */
import type * as Result from "effect/Result"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"

export interface Protocol {
  /** Below the base URL, such as `/api/chat`. */
  readonly path: string
  /** The media type of a streamed answer. */
  readonly accept: string
  /** A checked request as this server's JSON body. */
  readonly encode: (request: CompletionRequest) => Result.Result<JsonObject, ProviderErrorReason>
  /** A new decoder, for one answer. */
  readonly decoder: (options: DecoderOptions) => LineDecoder
}

export type JsonObject = { readonly [key: string]: unknown }

export interface DecoderOptions {
  /** The model that was asked. */
  readonly model: string
  /** The most bytes that a record may keep in memory until it is whole. */
  readonly maxLineBytes: number
}

/**
 * Turns the lines of one answer into chunks. Each call adds the chunks it completes to `chunks`, and says how the answer
 * stands: open, complete (the last chunk added is the final one), or failed.
 */
export interface LineDecoder {
  readonly line: (line: string, chunks: Array<StreamingChunk>) => Progress
  /** The body ended, or broke: what was held back until now, and whether the answer is complete even so. */
  readonly end: (chunks: Array<StreamingChunk>) => Progress
}

export type Progress = "open" | "complete" | ProviderErrorReason

/** A value in the making. */
export type Writable<A> = { -readonly [K in keyof A]: A[K] }
