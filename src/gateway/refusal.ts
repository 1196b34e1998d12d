/** What a gateway itself refuses, before a protocol or a provider is asked. */
import * as Data from "effect/Data"

/**
 * A request that is refused. The protocol of the client puts it into its form.
 *
 * @category errors
 */
export class Refusal extends Data.TaggedError("Refusal")<{
  /** The status of the response. */
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 500 | 503
  /** What the client may know of the reason. */
  readonly message: string
  /** Further headers of the response, such as `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>
}> {}
