/** What error texts of servers mean: the form of the rules, and how they are applied. The rules are in `knownErrors`. */
import * as Text from "effect/String"
import type { AuthenticationError } from "../ProviderError.ts"

/** The meaning of an error text. `description` goes into messages that are logged, so it never repeats the text. */
export interface KnownError {
  readonly kind: Kind
  readonly description?: string | undefined
  /** For `invalid`: the field that is wrong. */
  readonly field?: string | undefined
  /** For `unsupported`: the feature that is missing. Default: the endpoint. */
  readonly feature?: string | undefined
  /** For `status`: the status that the text reports, in place of the one of the response. */
  readonly status?: number | undefined
  /** For a status that refuses the client: who refused what. */
  readonly refusal?: AuthenticationError["kind"]
}

/** `status`: the text does not change the reason, the status decides. */
type Kind =
  | "model-missing"
  | "model-unloadable"
  | "overflow"
  | "unsupported"
  | "engine"
  | "invalid"
  | "network"
  | "status"

/** Where a function returns `undefined`, the text does not have the meaning. */
type Meaning = KnownError | ((match: RegExpExecArray) => KnownError | undefined)

/** A meaning, and the patterns of the texts that have it. */
export type ErrorRule = readonly [meaning: Meaning, ...patterns: ReadonlyArray<RegExp>]

/** Rules that differ in their descriptions, with the patterns for each. */
export const describe = (
  meaning: Kind | ((description: string) => Meaning),
  patterns: Readonly<Record<string, RegExp | ReadonlyArray<RegExp>>>
): ReadonlyArray<ErrorRule> =>
  Object.entries(patterns).flatMap(([description, each]) => {
    const described = typeof meaning === "function" ? meaning(description) : { kind: meaning, description }
    return [each].flat().map((pattern): ErrorRule => [described, pattern])
  })

/** The meaning that a field of the request is wrong. */
export const invalid =
  (field: string) =>
  (description: string): KnownError => ({ kind: "invalid", field, description })

/** A pattern that contains others, without regard to case. */
export const pattern = (text: TemplateStringsArray, ...parts: ReadonlyArray<string>): RegExp =>
  new RegExp(String.raw(text, ...parts), "i")

/** What the first rule that applies makes of a text. Texts about a model count only if the request named one. */
export const apply = (rules: ReadonlyArray<ErrorRule>, text: string, namesModel: boolean): KnownError | undefined => {
  for (const [meaning, ...patterns] of rules) {
    for (const pattern of patterns) {
      const match = pattern.exec(text)
      if (match === null) continue
      const known = typeof meaning === "function" ? meaning(match) : meaning
      if (known !== undefined && (namesModel || !isAboutModel(known))) return known
    }
  }
  return undefined
}

const isAboutModel = ({ kind }: KnownError): boolean => kind === "model-missing" || kind === "model-unloadable"

/** The longest text that is matched, in characters. */
const maxLength = 2000

/** From here on, a server quotes a prompt, a completion or a tool call, which must not be taken for words of the server. */
const quotation = /\braw=|['"]input['"]:|\binput_value=|\bat pos \d/

/** The words of the server itself: the beginning of its text, without what it quotes. */
export const ownWords = (text: string): string => {
  const beginning = text.slice(0, maxLength)
  const end = beginning.search(quotation)
  return end === -1 ? beginning : beginning.slice(0, end)
}

const sameNames = [
  "model messages prompt temperature seed stop tools format images think stream top_p top_k min_p typical_p max_tokens",
  "repeat_penalty presence_penalty frequency_penalty tool_choice tool_calls keep_alive role content name function",
  "parameters arguments type text input dimensions url"
].flatMap((names) => names.split(" "))

/** Names of fields in request bodies, and of the same fields in `CompletionRequest` or in the options of a layer. */
const fieldNames: ReadonlyMap<string, string> = new Map([
  ...sameNames.map((name) => [name, Text.snakeToCamel(name)] as const),
  ["max_completion_tokens", "maxTokens"],
  ["num_predict", "maxTokens"],
  ["num_ctx", "contextLength"],
  ["response_format", "format"],
  ["json_schema", "format"],
  ["functions", "tools"],
  ["function_call", "toolChoice"],
  ["reasoning_effort", "think"],
  ["image_url", "images"],
  ["reasoning_content", "thinking"],
  ["stream_options", "dialect.streamOptions"]
])

/** A path as servers report it, as far as it consists of known names and indices, such as `messages[0].content`. */
export const toField = (path: ReadonlyArray<unknown>): string | undefined => {
  let field = ""
  const start = path.findIndex((segment) => segment !== "body" && segment !== "options")
  for (const segment of path.slice(start, 10)) {
    const index = typeof segment === "string" && /^\d{1,4}$/.test(segment) ? Number(segment) : segment
    const name = typeof segment === "string" ? fieldNames.get(segment) : undefined
    if (name !== undefined) field += field === "" ? name : `.${name}`
    else if (field !== "" && typeof index === "number" && Number.isInteger(index) && index >= 0) field += `[${index}]`
    else break
  }
  return field === "" ? undefined : field
}

/** The same for a path written as one text. */
export const parseField = (path: string): string | undefined =>
  toField(
    path
      .slice(0, 200)
      .split(/[.[\]]+/)
      .filter((segment) => segment !== "")
  )
