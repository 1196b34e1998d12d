/** The rounds of an agent: a completion, the tools that it calls, and the next completion with their results. */
import * as AiError from "effect/ai/AiError"
import type * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Concurrency } from "effect/Types"
import type { End, UiPart } from "../protocol/uiPart.ts"
import { FinishReason } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import * as ToolCalls from "./toolCalls.ts"
import * as Transcript from "./transcript.ts"

/** What a caller may decide on after the tools of a round. */
export interface Finished {
  readonly round: number
  readonly calls: ReadonlyArray<ToolCalls.Call & ToolCalls.Outcome>
  readonly repeats: number
}

/** A turn, with everything that has a default. */
export interface Turn<T extends ToolCalls.Tools> {
  readonly toolkit: Toolkit.WithHandler<T>
  readonly prompt: Prompt.Prompt
  readonly chat: Chat.Chat | undefined
  readonly maxRounds: number
  readonly maxRepeats: number
  readonly stopWhen: (finished: Finished) => boolean | Effect.Effect<boolean>
  readonly concurrency: Concurrency
}

type Parts<T extends ToolCalls.Tools> = Stream.Stream<
  UiPart,
  ToolCalls.Failures<T>,
  LanguageModel.LanguageModel | ToolCalls.Services<T>
>

/** The parts of all rounds. The history gets the messages of the turn at its end, also of one that fails or is interrupted. */
export const stream = <T extends ToolCalls.Tools>(turn: Turn<T>): Parts<T> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const history = turn.chat === undefined ? Prompt.empty : yield* Ref.get(turn.chat.history)
      const state = makeState(history.content, turn.prompt.content)
      return Stream.concat(
        answerApprovals(turn, state),
        Stream.flatMap(
          Stream.unfold(1, (n) => Effect.succeed(state.isOver ? undefined : ([n, n + 1] as const))),
          (n) => playRound(turn, state, n)
        )
      ).pipe(Stream.ensuring(Effect.suspend(() => save(turn.chat, toMessages(state)))))
    })
  )

/** What has become of a turn so far. */
interface State {
  readonly history: ReadonlyArray<Prompt.Message>
  /** What is new, before and after the results of `waiting`. */
  readonly prompt: readonly [before: ReadonlyArray<Prompt.Message>, after: ReadonlyArray<Prompt.Message>]
  /** The calls of earlier turns that were waiting for an approval, and what has come of them. */
  readonly waiting: ReadonlyArray<Transcript.Decision>
  readonly outcomes: Map<string, ToolCalls.Outcome>
  readonly rounds: Array<Transcript.Round>
  /** The calls of the latest round with their results, as text, and how many rounds in a row had them. */
  repeats: { readonly text: string; readonly times: number }
  isOver: boolean
}

const makeState = (history: ReadonlyArray<Prompt.Message>, prompt: ReadonlyArray<Prompt.Message>): State => {
  const messages = [...history, ...prompt]
  const place = Math.max(history.length, Transcript.findPlace(messages))
  return {
    history,
    prompt: [messages.slice(history.length, place), messages.slice(place)],
    waiting: Transcript.findDecisions(messages),
    outcomes: new Map(),
    rounds: [],
    repeats: { text: "", times: 0 },
    isOver: false
  }
}

const toMessages = ({ outcomes, prompt: [before, after], rounds, waiting }: State): ReadonlyArray<Prompt.Message> => [
  ...before,
  // One that was interrupted or failed has a result too: an approval is for one run.
  ...Transcript.toToolMessage(
    waiting.map(({ call }) => call),
    outcomes
  ),
  ...after,
  ...rounds.flatMap(Transcript.toMessages)
]

const toPrompt = (state: State): Prompt.Prompt => Prompt.fromMessages([...state.history, ...toMessages(state)])

const save = (chat: Chat.Chat | undefined, messages: ReadonlyArray<Prompt.Message>): Effect.Effect<void> => {
  if (chat === undefined) return Effect.void
  const append = Ref.update(chat.history, (history) => Prompt.concat(history, Prompt.fromMessages(messages)))
  return isPersisted(chat) ? Effect.andThen(append, Effect.orDie(chat.save)) : append
}

const isPersisted = (chat: Chat.Chat): chat is Chat.Persisted => "save" in chat && Effect.isEffect(chat.save)

/** Runs the calls that a person has approved since. The others fail. */
const answerApprovals = <T extends ToolCalls.Tools>(turn: Turn<T>, state: State): Parts<T> => {
  const calls = { toolkit: turn.toolkit, settle: settleIn(state.outcomes), ask: () => {} }
  const parts = state.waiting.map(({ call, refusal }) =>
    refusal === undefined
      ? ToolCalls.run(calls, call, { isApproved: true, messages: [] })
      : ToolCalls.fail(calls, call, refusal)
  )
  return Stream.mergeAll(parts, turn)
}

const settleIn =
  (outcomes: Map<string, ToolCalls.Outcome>) =>
  ({ id }: ToolCalls.Call, outcome: ToolCalls.Outcome): void =>
    void outcomes.set(id, outcome)

type Limit = "maxRounds" | "maxRepeats" | undefined

/** A completion, then its tools. In the last round the model has no tools, so that it answers with what it knows. */
const playRound = <T extends ToolCalls.Tools>(turn: Turn<T>, state: State, n: number): Parts<T> => {
  const prompt = toPrompt(state)
  const round = Transcript.make()
  state.rounds.push(round)
  const limit = state.repeats.times >= turn.maxRepeats ? "maxRepeats" : n >= turn.maxRounds ? "maxRounds" : undefined
  const completion = LanguageModel.streamText({
    prompt,
    toolkit: turn.toolkit,
    toolChoice: limit === undefined ? "auto" : "none",
    disableToolCallResolution: true,
    toolCallValidation: "deferred"
  })
  const parts = Stream.filterMap(completion, (part) => {
    const uiPart = Transcript.read(round, part)
    return uiPart === undefined ? Result.failVoid : Result.succeed(uiPart)
  })
  return Stream.concat(
    parts,
    Stream.suspend(() => endRound(turn, state, round, limit))
  )
}

/** Runs the tools of a completion if it is complete and another round may follow. Otherwise the turn is over. */
const endRound = <T extends ToolCalls.Tools>(
  turn: Turn<T>,
  state: State,
  round: Transcript.Round,
  limit: Limit
): Parts<T> => {
  if (round.hasFailed || round.end === undefined) return Stream.fail(incomplete(round.hasFailed))
  const calls = {
    toolkit: turn.toolkit,
    settle: settleIn(round.outcomes),
    ask: (call: ToolCalls.Call, id: string) => Transcript.ask(round, call, id)
  }
  const isComplete = completeReasons.has(round.end.reason)
  const cut = Transcript.findCut(round)
  const failCut = Stream.mergeAll(
    cut.map((call) => ToolCalls.fail({ settle: () => {} }, call, "The arguments are not complete.")),
    turn
  )
  if (!isComplete || limit !== undefined || round.calls.length === 0) {
    const why = isComplete
      ? "The call did not run: no further calls are allowed."
      : "The call did not run: the answer was cut."
    const failed = Stream.mergeAll(
      round.calls.map((call) => ToolCalls.fail(calls, call, why)),
      turn
    )
    return Stream.concat(Stream.concat(failCut, failed), over(state, limit))
  }
  const ran = round.calls.map((call) =>
    ToolCalls.run(calls, call, { isApproved: false, messages: [...state.history, ...state.prompt.flat()] })
  )
  return Stream.concat(
    Stream.concat(failCut, Stream.mergeAll(ran, turn)),
    Stream.unwrap(
      Effect.map(decide(turn, state, round), (stop) => (stop === undefined ? Stream.empty : over(state, stop)))
    )
  )
}

/** The reasons after which `effect/ai` runs tools. */
const completeReasons: ReadonlySet<string> = new Set(["stop", "tool-calls", "pause"])

/** What ends the turn after the tools of a round, if anything does. */
const decide = <T extends ToolCalls.Tools>(
  { stopWhen }: Turn<T>,
  state: State,
  round: Transcript.Round
): Effect.Effect<End["stoppedBy"]> =>
  Effect.suspend(() => {
    if (Transcript.isWaiting(round)) return Effect.succeed("approval")
    const calls = round.calls.flatMap((call) => {
      const outcome = round.outcomes.get(call.id)
      return outcome === undefined ? [] : [{ ...call, ...outcome }]
    })
    const text = Json.stringify(calls.map(({ arguments: input, name, result }) => [name, input, result])) ?? ""
    state.repeats = { text, times: text === state.repeats.text ? state.repeats.times + 1 : 1 }
    const stops = stopWhen({ round: state.rounds.length, calls, repeats: state.repeats.times })
    return Effect.map(Effect.isEffect(stops) ? stops : Effect.succeed(stops), (stops) =>
      stops ? "stopWhen" : undefined
    )
  })

const over = (state: State, stoppedBy: End["stoppedBy"]): Stream.Stream<UiPart> =>
  Stream.sync(() => {
    state.isOver = true
    const { end, model } = state.rounds.at(-1) ?? Transcript.make()
    const usage = Transcript.addUsage(state.rounds)
    return {
      _tag: "End",
      finishReason: toFinishReason(end?.reason),
      ...(usage && { usage }),
      ...(model !== undefined && { model }),
      rounds: state.rounds.length,
      ...(stoppedBy && { stoppedBy })
    }
  })

const isFinishReason = Schema.is(FinishReason)

const toFinishReason = (reason: string | undefined): FinishReason => (isFinishReason(reason) ? reason : "other")

const incomplete = (hasFailed: boolean): AiError.AiError => {
  const description = hasFailed ? "the model server reported an error" : "the completion has no end"
  return AiError.make({
    module: "effect-local-llm/Agent",
    method: "stream",
    reason: new AiError.InternalProviderError({ description })
  })
}
