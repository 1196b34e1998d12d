/** What becomes of the fields of a body. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { check } from "../../src/CompletionRequest.ts"
import type { Decode, ReceivedCompletion } from "../../src/protocol/served.ts"
import * as Json from "../../src/values/json.ts"
import { mutate } from "./hostileBodies.ts"

export interface Tables {
  readonly base: Json.JsonObject
  /** Fields besides those of the base, and what the request has of them. */
  readonly kept: Readonly<Record<string, readonly [fields: object, request: object]>>
  /** Fields that change nothing. */
  readonly ignored: object
  /** Fields for which the request is refused, and what the message begins with. */
  readonly refused: Readonly<Record<string, readonly [fields: object, message: string]>>
  /** A valid body with everything in it. */
  readonly full: Json.JsonObject
}

export const checkTables = (
  decode: Decode<ReceivedCompletion>,
  { base, full, ignored, kept, refused }: Tables
): void => {
  const read = (fields: object) => decode(JSON.parse(JSON.stringify({ ...base, ...fields })))
  const plain = Result.getOrThrow(read({})).request

  describe("is kept", () => {
    it.each(Object.entries(kept))("%s", (_, [fields, request]) => {
      expect(Result.getOrThrow(read(fields)).request).toEqual({ ...plain, ...request })
    })
  })

  it.each(Object.entries(ignored))("%s is ignored", (name, value) => {
    expect(Result.getOrThrow(read({ [name]: value })).request).toEqual(plain)
  })

  describe("is refused", () => {
    it.each(Object.entries(refused))("%s", (_, [fields, message]) => {
      const { message: refusal } = Result.getOrThrow(Result.flip(read(fields)))
      expect(refusal.slice(0, message.length)).toBe(message)
    })
  })

  it("a wrong value at any place is read as a valid request, or refused by the name of a field", () => {
    const bodies = Array.from(mutate(full)).filter(Json.isObject)
    expect(bodies.length).toBeGreaterThan(500)
    const isRead = (body: Json.JsonObject): boolean => {
      const result = decode(body)
      if (Result.isSuccess(result)) return Result.isSuccess(check(result.success.request))
      return result.failure._tag === "InvalidRequest" && /^[\w.[\]…]+$/.test(result.failure.field ?? "")
    }
    expect(bodies.filter((body) => !isRead(body))).toEqual([])
  })
}
