/** Attributes of OpenTelemetry's conventions for generative AI. */

/** The longest text in an attribute, in characters. Names come from servers and callers. */
const maxLength = 256

/** A text of a server or a caller as an attribute. No character is cut in half. */
export const toText = (text: string): string =>
  text.length <= maxLength ? text : `${text.slice(0, maxLength - 1).replace(/[\uD800-\uDBFF]$/, "")}…`

interface Named {
  readonly name: string
  readonly kind?: string | undefined
}

/** The value of `gen_ai.provider.name`. The conventions have none for these servers. */
export const providerName = ({ kind, name }: Named): string => toText(kind ?? name)

/** The kind that all of them have, if there is one. */
export const sharedKind = (providers: ReadonlyArray<Named>): string | undefined =>
  providers.every(({ kind }) => kind === providers[0]?.kind) ? providers[0]?.kind : undefined

/** The first values of an attribute; `_OTHER` for those after them. Metrics keep all values that they have seen. Mutable state. */
export const makeBounded = (maxValues: number): ((value: string) => string) => {
  const known = new Set<string>()
  return (value) => {
    const text = toText(value)
    if (!known.has(text) && known.size >= maxValues) return "_OTHER"
    known.add(text)
    return text
  }
}
