/** What a gateway itself refuses, before a protocol or a provider is asked. */
import * as Data from "effect/Data"

/** The status, and a message for the client in our own words. The protocol puts it into its form. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 500
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
}> {}
