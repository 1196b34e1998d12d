/** Which host answered the last turn of a conversation: it has the conversation in its prompt cache. */
import * as Cache from "effect/Cache"
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import * as Content from "../../protocol/content.ts"

export interface Turn {
  /** The name of the host. */
  readonly host: string
  /** The tokens of its prompt, if the server reported them. */
  readonly promptTokens: number | undefined
}

/** The prompts of the last turn and of the one before, up to their last user message, as hashes. */
export interface Conversation {
  readonly turn: number
  readonly lastTurn: number | undefined
}

/** Answers are left out of the hash, because programs trim and reformat them. A prompt without messages has no turns. */
export const of = ({ messages, model = "" }: CompletionRequest): Conversation | undefined => {
  if (messages === undefined) return undefined
  let hash = Hash.string(model)
  let turn: number | undefined
  let lastTurn: number | undefined
  for (const message of messages) {
    const { role } = message
    if (role === "assistant" || role === "tool") continue
    hash = Hash.combine(Hash.string(Content.toText(message)))(Hash.combine(Hash.string(role))(hash))
    if (role !== "user") continue
    lastTurn = turn
    turn = hash
  }
  return turn === undefined ? undefined : { turn, lastTurn }
}

export interface Turns {
  readonly find: (conversation: Conversation) => Effect.Effect<Turn | undefined>
  readonly remember: (conversation: Conversation, turn: Turn) => Effect.Effect<void>
}

const maxAgeMillis = 10 * 60_000

/** Bounded in number and time. A hash that two conversations share costs a prompt cache, nothing else. */
export const make = Effect.fnUntraced(function* (now: () => number): Effect.fn.Return<Turns> {
  // A cache measures time by the wall clock, so the age is checked here.
  const cache = yield* Cache.make<number, { readonly turn: Turn; readonly at: number }>({
    capacity: 10_000,
    lookup: () => Effect.never
  })
  const find = (key: number | undefined): Effect.Effect<Turn | undefined> =>
    key === undefined
      ? Effect.succeed(undefined)
      : Effect.map(Cache.getOption(cache, key), (found) =>
          Option.isSome(found) && now() - found.value.at < maxAgeMillis ? found.value.turn : undefined
        )
  return {
    // A further round of the same turn, as with tools, or the next turn.
    find: ({ lastTurn, turn }) =>
      Effect.flatMap(find(turn), (found) => (found === undefined ? find(lastTurn) : Effect.succeed(found))),
    remember: (conversation, turn) => Cache.set(cache, conversation.turn, { turn, at: now() })
  }
})
