/**
 * Thinking that a model writes between tags inside its answer.
 *
 * @category Policies
 * @since 0.3.0
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
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
 * Only an opening tag at the beginning of the answer counts, so an answer may mention the tags later. White space around the tags
 * belongs to them. A tag may be split over chunks: what may be the beginning of one is held back until that is known, and
 * everything held back is delivered before the end and before a failure. Thinking that is not closed is thinking, so an answer
 * that consists of thinking only has no content. Fails with `InvalidRequest` if an option is invalid.
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

const splitBy = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>,
  options: Options
): Stream.Stream<StreamingChunk, E, R> =>
  Stream.transformPull(chunks, (pull) =>
    Effect.sync(() => {
      const splitter = makeSplitter(options)
      let ended: Cause.Cause<E | Cause.Done<void>> | undefined

      const convert = (chunk: StreamingChunk): StreamingChunk => {
        const text = splitter.add(chunk.content)
        if (chunk.isFinal) merge(text, splitter.end())
        const thinking = (chunk.thinking ?? "") + text.thinking
        return { ...chunk, content: text.content, ...(thinking === "" ? {} : { thinking }) }
      }

      return Effect.suspend((): Pull.Pull<Arr.NonEmptyReadonlyArray<StreamingChunk>, E, void, R> => {
        if (ended !== undefined) return Effect.failCause(ended)
        return Effect.matchCauseEffect(pull, {
          onSuccess: (received) => {
            if (splitter.isOver()) return Effect.succeed(received)
            const [first, ...rest] = received
            return Effect.succeed<Arr.NonEmptyReadonlyArray<StreamingChunk>>([convert(first), ...rest.map(convert)])
          },
          onFailure: (cause) => {
            const { content, thinking } = splitter.end()
            if (content === "" && thinking === "") return Effect.failCause(cause)
            ended = cause
            return Effect.succeed<Arr.NonEmptyReadonlyArray<StreamingChunk>>([
              { content, isFinal: false, ...(thinking === "" ? {} : { thinking }) }
            ])
          }
        })
      })
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
 * Provides a `Provider` whose answers are split by `split`, from another one.
 *
 * **Example** (a model with a template of its own on Ollama)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Ollama, Thinking } from "effect-local-llm"
 *
 * const live = Thinking.layer().pipe(Layer.provide(Ollama.layer()))
 * ```
 *
 * @category layers
 * @since 0.3.0
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layer.effect(
    Provider.Provider,
    Effect.map(Provider.Provider, (provider) => apply(provider, options))
  )

interface Text {
  content: string
  thinking: string
}

const merge = (text: Text, more: Text): void => {
  text.content += more.content
  text.thinking += more.thinking
}

/** The most white space that is held back while the opening tag may still follow. */
const maxSpace = 1000

const makeSplitter = ({ close = "</think>", open = "<think>", startsInside = false }: Options) => {
  let phase: "before" | "inside" | "after" | "over" = startsInside ? "inside" : "before"
  let held = ""

  /** Returns what follows the part that was read. */
  const step = (text: string, out: Text): string => {
    switch (phase) {
      case "before": {
        const rest = text.trimStart()
        if (rest.startsWith(open)) {
          phase = "inside"
          return rest.slice(open.length)
        }
        if (open.startsWith(rest) && text.length <= maxSpace) held = text
        else {
          phase = "over"
          out.content += text
        }
        return ""
      }
      case "inside": {
        const end = text.indexOf(close)
        if (end !== -1) {
          out.thinking += text.slice(0, end)
          phase = "after"
          return text.slice(end + close.length)
        }
        const length = beginningAtEnd(text, close)
        held = text.slice(text.length - length)
        out.thinking += text.slice(0, text.length - length)
        return ""
      }
      default: {
        const rest = phase === "after" ? text.trimStart() : text
        if (rest !== "") phase = "over"
        out.content += rest
        return ""
      }
    }
  }

  return {
    isOver: () => phase === "over",
    add: (content: string): Text => {
      const out = { content: "", thinking: "" }
      let rest = held + content
      held = ""
      while (rest !== "") rest = step(rest, out)
      return out
    },
    /** What was held back. */
    end: (): Text => {
      const text = held
      held = ""
      return phase === "inside" ? { content: "", thinking: text } : { content: text, thinking: "" }
    }
  }
}

/** How many characters at the end of a text may be the beginning of the tag. */
const beginningAtEnd = (text: string, tag: string): number => {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length
  }
  return 0
}
