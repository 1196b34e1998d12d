/** Gateways of one cluster share the permits of its hosts. */
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Stream from "effect/Stream"
import type { Provider } from "../../../src/Provider.ts"
import * as Cluster from "../../../src/Cluster.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"

/** Hosts that count how many requests each has at the same time. */
const makeHosts = () => {
  const running = new Map<string, number>()
  let most = 0
  const change = (name: string, by: number) =>
    Effect.sync(() => {
      const now = (running.get(name) ?? 0) + by
      running.set(name, now)
      most = Math.max(most, now)
    })
  const connect = ({ name }: { readonly name: string }) =>
    Effect.map(MockProvider.make(["a", MockProvider.wait("20 millis"), "b"], { name }), (mock): Provider => ({
      ...mock,
      stream: (request) => {
        const counted = Effect.acquireRelease(change(name, 1), () => change(name, -1))
        return Stream.unwrap(Effect.as(counted, mock.stream(request)))
      }
    }))
  return { connect, most: () => most }
}

it.live(
  "two gateways together use no more than the permits of each host",
  () =>
    Effect.gen(function* () {
      const { connect, most } = makeHosts()
      const options = { connect, maxWaiting: 1000 }
      const base = yield* Layer.build(
        Cluster.layerScheduler({ ...options, takeoverDelay: 0 }).pipe(
          Layer.provideMerge(Cluster.layerMemory),
          Layer.provideMerge(NodeHttpClient.layerUndici)
        )
      )
      yield* Effect.gen(function* () {
        for (const name of ["one", "two"]) {
          yield* Effect.forkScoped(Cluster.join({ name, url: `http://${name}`, kind: "ollama", permits: 3 }))
        }
        const gateway = Effect.map(Layer.build(Layer.fresh(Cluster.layer(options))), (context) =>
          Context.get(context, Cluster.Cluster)
        )
        const [one, two] = yield* Effect.all([gateway, gateway])
        yield* SubscriptionRef.changes(one.state).pipe(
          Stream.takeUntil(({ hosts }) => hosts.length === 2),
          Stream.runDrain
        )
        const answers = yield* Effect.forEach(
          Array.from({ length: 100 }),
          (_, i) => (i % 2 === 0 ? one : two).complete({ model: "mock", prompt: `${i}` }),
          { concurrency: "unbounded" }
        )
        expect(answers.map(({ content }) => content)).toEqual(answers.map(() => "ab"))
        expect(most()).toBe(3)
      }).pipe(Effect.provideContext(base))
    }),
  60_000
)
