/** The permission for pages of other origins. The tests in a browser show what browsers make of it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { request } from "node:http"
import { FakeServer } from "../../src/testing/index.ts"

const page = "https://app.example"

/** `fetch` may not set all of these headers. */
const send = (url: string, method: string, headers: Readonly<Record<string, string>>) =>
  Effect.callback<{ readonly status: number | undefined; readonly [name: string]: unknown }>((resume) => {
    request(url, { method, headers }, (response) => {
      response.resume()
      resume(Effect.succeed({ ...response.headers, status: response.statusCode }))
    }).end()
  })

const preflight = (url: string, origin: string) =>
  send(`${url}/api/chat`, "OPTIONS", {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type"
  })

describe("FakeServer with origins", () => {
  it.live("answers preflights of its origins, and keeps them apart from the requests", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Blue." }, { origins: [page, "http://localhost:5173"] })
      const answer = yield* preflight(server.url, page)
      expect(answer).toMatchObject({ status: 204, "access-control-allow-origin": page, vary: "Origin" })
      const allowed = String(answer["access-control-allow-headers"]).toLowerCase().split(",")
      expect(allowed).toContain("content-type")
      expect(allowed).not.toContain("traceparent")
      expect(yield* send(`${server.url}/api/chat`, "POST", { origin: page })).toMatchObject({
        status: 200,
        "access-control-allow-origin": page,
        "content-type": "application/x-ndjson"
      })
      const { preflights, requests } = yield* server.state
      expect(preflights).toMatchObject([{ method: "OPTIONS", path: "/api/chat", index: 0, outcome: "completed" }])
      expect(requests).toMatchObject([{ method: "POST", index: 0 }])
    })
  )

  it.live("refuses other origins, and does not ask the script", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(() => Effect.die("asked"), { origins: [page] })
      for (const origin of ["https://other.example", "null", "http://app.example"]) {
        const answers = [yield* preflight(server.url, origin), yield* send(server.url, "GET", { origin })]
        for (const answer of answers) {
          expect(answer.status).toBe(403)
          expect(answer).not.toHaveProperty("access-control-allow-origin")
        }
      }
    })
  )

  it.live("answers what comes without an origin, and pages of its own", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Blue." }, { origins: [page] })
      for (const headers of [{}, { origin: server.url }]) {
        const answer = yield* send(server.url, "GET", headers)
        expect(answer.status).toBe(200)
        expect(answer).not.toHaveProperty("access-control-allow-origin")
      }
    })
  )

  it.live('allows every page with "*"; a reply can have headers of its own', () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ status: 500 }, { origins: ["*"] })
      const header = "access-control-allow-origin"
      expect(yield* send(server.url, "GET", { origin: page })).toMatchObject({ status: 500, [header]: "*" })
      yield* server.setScript({ status: 500, headers: { [header]: "https://other.example" } })
      expect(yield* send(server.url, "GET", { origin: page })).toMatchObject({ [header]: "https://other.example" })
    })
  )

  it.live("knows nothing of CORS without that option: the script answers preflights too", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      expect(yield* preflight(server.url, page)).toMatchObject({ status: 405 })
      yield* server.setScript(({ method }) => ({ status: method === "OPTIONS" ? 204 : 200 }))
      expect(yield* preflight(server.url, page)).toMatchObject({ status: 204 })
      expect((yield* server.state).preflights).toHaveLength(2)
    })
  )
})
