/** The network between two programs, which can be cut. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"

export interface Proxy {
  readonly url: string
  /** Nothing passes any more, and nobody sees it: connections stay open. */
  readonly cut: Effect.Effect<void>
  /** What was under way passes. */
  readonly heal: Effect.Effect<void>
}

/** Passes everything to a port of this machine, until the scope ends. */
export const make = Effect.fnUntraced(function* (to: number): Effect.fn.Return<Proxy, never, Scope.Scope> {
  const sockets = new Set<Net.Socket>()
  let isCut = false
  /** What happens when the cut is healed. */
  let later: Array<() => void> = []
  const now = (run: () => void): void => (isCut ? void later.push(run) : run())

  const link = (from: Net.Socket, to: Net.Socket): void => {
    sockets.add(from)
    from.on("data", (bytes: Buffer) => to.write(bytes))
    from.on("error", () => undefined)
    from.on("end", () => now(() => to.end()))
    from.on("close", () => {
      sockets.delete(from)
      now(() => to.destroy())
    })
  }
  const server = Net.createServer({ noDelay: true }, (client) =>
    now(() => {
      const upstream = Net.connect({ port: to, host: "127.0.0.1", noDelay: true })
      link(client, upstream)
      link(upstream, client)
    })
  )
  const url = yield* Effect.callback<string>((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(`http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`))
    })
  })
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
  )
  return {
    url,
    cut: Effect.sync(() => {
      isCut = true
      for (const socket of sockets) socket.pause()
    }),
    heal: Effect.sync(() => {
      isCut = false
      const waiting = later
      later = []
      for (const socket of sockets) socket.resume()
      for (const run of waiting) run()
    })
  }
})
