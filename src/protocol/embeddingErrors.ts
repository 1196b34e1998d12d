/** What error texts mean where texts are embedded. */
import type { ErrorRule, KnownError } from "./errorRule.ts"

/** The same text gives these numbers again. JSON has no notation for them, so no answer can carry them. */
const noVector = (): KnownError => ({
  kind: "invalid",
  field: "input",
  description: "the model makes no vector of it: its numbers are NaN or infinite"
})

export const embeddingErrors: ReadonlyArray<ErrorRule> = [
  [/\bunsupported value: [+-]?(?:nan|inf)/i, noVector],
  [/\bfloat values are not json compliant/i, noVector],
  [/(?:embeddings?|vectors?)\b[^\n]{0,40}\b(?:nans?|infs?|infinity)\b/i, noVector],
  [/\b(?:nans?|infs?|infinity)\b[^\n]{0,40}(?:embeddings?|vectors?)\b/i, noVector]
]
