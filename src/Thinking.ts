/**
 * Thinking that a model writes between tags inside its answer.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Layers from "./policies/layers.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Provider from "./Provider.ts"
import { ProviderError } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"

/**
 * The tags, and where an answer begins. All fields are optional.
 *
 * @category options
 * @since 0.3.0
 */
export interface Options {
  /** The tag before the thinking. Default: `<think>`. */
  readonly open?: string | undefined
  /** The tag after it. Default: `</think>`. */
  readonly close?: string | undefined
  /** Whether the answer begins inside the thinking, because the template of the model has the opening tag. Default: `false`. */
  readonly startsInside?: boolean | undefined
}

const definition = OptionSchema.define<Options>({
  open: OptionSchema.text,
  close: OptionSchema.text,
  startsInside: OptionSchema.boolean
})

/**
 * Moves the text between the tags from `content` to `thinking` of the chunks.
 *
 * **When to use**
 *
 * For models whose thinking the server does not recognise, such as those with a template of their own on Ollama 0.33.
 *
 * **Details**
 *
 * Only an opening tag at the beginning counts, so a completion may mention the tags later. White space around the tags belongs to
 * them. What may be the beginning of a tag is held back until that is known, and delivered before the end and before a failure.
 * Thinking that is not closed is thinking. Fails with `InvalidRequest` if an option is invalid.
 *
 * @category combinators
 * @since 0.3.0
 */
export const split = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>,
  options: Options = {}
): Stream.Stream<StreamingChunk, E | ProviderError, R> =>
  Result.match(OptionSchema.read(definition, options), {
    onSuccess: (options) => splitBy(chunks, options),
    onFailure: (reason) => Stream.fail(new ProviderError({ provider: "Thinking", reason }))
  })

type Chunks = Arr.NonEmptyReadonlyArray<StreamingChunk>

const splitBy = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>,
  options: Options
): Stream.Stream<StreamingChunk, E, R> =>
  Stream.transformPull(chunks, (pull) =>
    Effect.sync(() => {
      const splitter = makeSplitter(options)
      let ended: Cause.Cause<E | Cause.Done<void>> | undefined
      const splitting = Effect.matchCauseEffect(pull, {
        onSuccess: (chunks) => Effect.succeed<Chunks>(splitter.isOver() ? chunks : Arr.map(chunks, splitter.convert)),
        onFailure: (cause): Pull.Pull<Chunks, E> => {
          const text = splitter.end()
          if (text.content === "" && text.thinking === "") return Effect.failCause(cause)
          ended = cause
          return Effect.succeed<Chunks>([withText({ content: "", isFinal: false }, text)])
        }
      })
      return Effect.suspend((): Pull.Pull<Chunks, E, void, R> =>
        ended === undefined ? splitting : Effect.failCause(ended)
      )
    })
  )

/**
 * A provider whose answers are split, by `split`. If an option is invalid, every operation fails with `InvalidRequest`, which names it.
 *
 * @category combinators
 * @since 0.3.0
 */
export const apply = (provider: Provider.Provider, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, provider, (options) =>
    Provider.make({ ...provider, stream: (request) => splitBy(provider.stream(request), options) })
  )

/**
 * Provides a `Provider` whose completions are split by `split`, from another one.
 *
 * @see {@link apply}
 * @category layers
 * @since 0.3.0
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layers.from((provider) => apply(provider, options))

interface Text {
  readonly content: string
  readonly thinking: string
}

const withText = (chunk: StreamingChunk, text: Text): StreamingChunk => {
  const thinking = (chunk.thinking ?? "") + text.thinking
  return { ...chunk, content: text.content, ...(thinking === "" ? {} : { thinking }) }
}

/** The most white space that is held back while the opening tag may still follow. */
const maxSpace = 1000

type Phase = "before" | "inside" | "after" | "over"

/** What a part of a text shows. `held` may be the beginning of a tag; `rest` follows the part that was read. */
interface Step extends Partial<Record<"content" | "thinking" | "held" | "rest", string>> {
  readonly phase: Phase
}

const makeStep =
  ({ close = "</think>", open = "<think>" }: Options) =>
  (phase: Phase, text: string): Step => {
    switch (phase) {
      case "before": {
        const rest = text.trimStart()
        if (rest.startsWith(open)) return { phase: "inside", rest: rest.slice(open.length) }
        return open.startsWith(rest) && text.length <= maxSpace
          ? { phase, held: text }
          : { phase: "over", content: text }
      }
      case "inside": {
        const end = text.indexOf(close)
        if (end !== -1) return { phase: "after", thinking: text.slice(0, end), rest: text.slice(end + close.length) }
        const decided = text.length - beginningAtEnd(text, close)
        return { phase, thinking: text.slice(0, decided), held: text.slice(decided) }
      }
      default: {
        const content = phase === "after" ? text.trimStart() : text
        return { phase: content === "" ? phase : "over", content }
      }
    }
  }

/** Splits one completion. Mutable state. */
const makeSplitter = (options: Options) => {
  const step = makeStep(options)
  let phase: Phase = options.startsInside === true ? "inside" : "before"
  let held = ""

  const add = (text: string): Text => {
    let content = ""
    let thinking = ""
    let left = held + text
    held = ""
    while (left !== "") {
      const next = step(phase, left)
      phase = next.phase
      content += next.content ?? ""
      thinking += next.thinking ?? ""
      held = next.held ?? ""
      left = next.rest ?? ""
    }
    return { content, thinking }
  }
  /** What was held back. */
  const end = (): Text => {
    const text = held
    held = ""
    return phase === "inside" ? { content: "", thinking: text } : { content: text, thinking: "" }
  }
  return {
    isOver: () => phase === "over",
    convert: (chunk: StreamingChunk): StreamingChunk => {
      const text = add(chunk.content)
      if (!chunk.isFinal) return withText(chunk, text)
      const { content, thinking } = end()
      return withText(chunk, { content: text.content + content, thinking: text.thinking + thinking })
    },
    end
  }
}

/** How many characters at the end of a text may be the beginning of the tag. */
const beginningAtEnd = (text: string, tag: string): number => {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length
  }
  return 0
}
