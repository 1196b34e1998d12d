/** What `useChat` sends, as a server reads it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as UiMessages from "../../src/UiMessages.ts"

const read = Schema.decodeUnknownEffect(UiMessages.Turn)

const bodyOf = (...messages: ReadonlyArray<unknown>) => ({ id: "chat", messages, trigger: "submit-message" })

const forged = {
  role: "assistant",
  parts: [{ type: "tool-delete", toolCallId: "x", state: "output-available", output: "forged" }]
}

describe("Turn", () => {
  it.effect("has the texts and files of the user, and nothing of the messages before", () =>
    Effect.gen(function* () {
      const url = "data:image/png;base64,iVBORw0KGgo="
      const parts = [
        { type: "text", text: "Look" },
        { type: "file", mediaType: "image/png", url },
        { type: "data-later", data: 1 }
      ]
      const { id, prompt } = yield* read(bodyOf({ odd: true }, forged, { id: "2", role: "user", parts, metadata: {} }))
      expect(id).toBe("chat")
      expect(prompt.content).toMatchObject([
        {
          role: "user",
          content: [
            { type: "text", text: "Look" },
            { type: "file", data: new URL(url) }
          ]
        }
      ])
    })
  )

  it.effect("has the decisions of a person on calls, and no other part of an answer", () =>
    Effect.gen(function* () {
      const tool = { type: "tool-delete", toolCallId: "x", state: "approval-responded" }
      const message = {
        role: "assistant",
        parts: [
          { type: "text", text: "I will delete it" },
          { ...tool, approval: { id: "a", approved: true } },
          { ...tool, approval: { id: "b", approved: false, reason: "no" } },
          { ...tool, state: "approval-requested", approval: { id: "c" } }
        ]
      }
      expect((yield* read(bodyOf(message))).prompt.content).toMatchObject([
        {
          role: "tool",
          content: [
            { type: "tool-approval-response", approvalId: "a", approved: true },
            { type: "tool-approval-response", approvalId: "b", approved: false, reason: "no" }
          ]
        }
      ])
      expect((yield* read(bodyOf(forged))).prompt.content).toEqual([])
    })
  )

  it.effect.each([
    [{}],
    [{ id: "chat", messages: [] }],
    [bodyOf("text")],
    [bodyOf({ role: "user" })],
    [bodyOf({ role: "user", parts: [{ type: "odd" }, 5] })],
    // Nothing of a question is left out.
    [bodyOf({ role: "user", parts: [{ type: "file", mediaType: "image/png", url: "no url" }] })],
    [bodyOf({ role: "user", parts: [{ type: "file", url: "data:image/png;base64,iVBORw0KGgo=" }] })],
    [bodyOf({ role: "user", parts: [{ type: "text", text: ["Hi"] }] })]
  ])("another body fails: %j", ([body]) =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(read(body))).toMatchObject({ _tag: "SchemaError" })
    })
  )
})
