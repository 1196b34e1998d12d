/** Which hosts and models are off, by the outcomes of their requests, and when they are back. */
import * as Effect from "effect/Effect"
import { isProviderError, NetworkError, ProviderError } from "../../ProviderError.ts"
import type { End } from "../attempt.ts"
import type * as Breaker from "./breaker.ts"
import * as Failures from "./failures.ts"
import type * as Health from "./health.ts"
import * as Host from "./host.ts"

/** A request that has left its host. */
export interface Sent extends Failures.Failed {
  readonly model: string | undefined
  readonly sentAt: number
}

export interface Options {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly blame: Failures.Blame
  readonly health: Health.Health
  /** Whether a model whose requests hang is unloaded. */
  readonly unloadHanging: boolean
  readonly now: () => number
  /** Runs an effect in the background, as long as the pool lives. */
  readonly run: (effect: Effect.Effect<void>) => void
  /** Run when a host or a model is back or off. */
  readonly refresh: Effect.Effect<void>
}

/** How long a probe may take, in place of the deadline of the host, which allows for a load. */
const probeTimeout = "10 seconds"

export interface Recovery {
  /** Judges a host by how a request left it. */
  readonly judge: (host: Host.Host, outcome: End["outcome"], sent: Sent) => void
  /** Another pool reports that the host is off, or back. It is probed here too. */
  readonly hear: (host: Host.Host, isOff: boolean) => void
}

export const make = (options: Options): Recovery => {
  const { blame, health, now, refresh, run, unloadHanging } = options
  const { probe, recover } = makeProbes(options)

  /** It was turned off by its own requests. */
  const wentOff = (host: Host.Host): void => {
    run(recover(host, host.breaker.off()))
    run(health.report({ host: host.name, isOff: true }))
  }

  /** The model is off. If the host does not list its models either, it is the host that hangs. */
  const recoverModel = Effect.fnUntraced(function* (host: Host.Host, name: string, { breaker }: Host.Model) {
    const { listModels, unload } = host.provider
    const isHostOff = !(yield* works(listModels)) && host.breaker.turnOff(now())
    if (isHostOff) wentOff(host)
    else yield* refresh
    const isUnloaded = unloadHanging && !isHostOff && unload !== undefined && (yield* works(unload(name)))
    if (!isUnloaded) yield* Effect.sleep(breaker.nextOffMillis())
    breaker.restore(now())
    yield* refresh
  })

  const blameHost = (host: Host.Host, error: ProviderError, sent: Sent): void => {
    const { model: name, sentAt } = sent
    const { reason } = error
    const time = now()
    host.lastError = error
    if (!Failures.isOfHost(reason) || blame.isOfRequest(sent, reason, host, time)) return
    if (name !== undefined && Failures.isHang(reason)) {
      const model = Host.modelOf(host, name)
      model.lastError = error
      if (model.breaker.record(false, sentAt, time)) run(recoverModel(host, name, model))
      return
    }
    const turnsOff = host.breaker.record(false, sentAt, time)
    blame.suspect(sent, reason, host, time)
    if (turnsOff) wentOff(host)
  }

  return {
    judge: (host, outcome, sent) => {
      if (isProviderError(outcome)) return blameHost(host, outcome, sent)
      if (outcome === "stopped") return
      const { model, sentAt } = sent
      if (model !== undefined) Host.modelOf(host, model).breaker.record(true, sentAt, now())
      host.breaker.record(true, sentAt, now())
    },
    hear: (host, isOff) => {
      if (!isOff) return host.breaker.isOff() ? run(Effect.asVoid(probe(host, host.breaker.off()))) : undefined
      if (!host.breaker.turnOff(now())) return
      host.lastError = new ProviderError({ provider: host.name, server: host.provider.server, reason: reported })
      run(Effect.andThen(refresh, recover(host, host.breaker.off())))
    }
  }
}

const reported = new NetworkError({ description: "another process reports that its requests fail" })

const makeProbes = ({ health, hosts, now, refresh }: Options) => {
  /** A probe is a list of models, never a generation. Returns whether the host is off as before. */
  const probe = Effect.fnUntraced(function* (host: Host.Host, off: Breaker.Off | undefined) {
    const isBack = yield* works(host.provider.listModels)
    // Its failures may have been forgiven since.
    if (!hosts().includes(host) || host.breaker.off() !== off) return false
    if (!isBack) return true
    host.breaker.restore(now())
    yield* refresh
    yield* health.report({ host: host.name, isOff: false })
    return false
  })
  /** Off until a probe succeeds. */
  const recover = (host: Host.Host, off: Breaker.Off | undefined): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.flatMap(Effect.delay(probe(host, off), host.breaker.nextOffMillis()), (isOff) =>
        isOff ? recover(host, off) : Effect.void
      )
    )
  return { probe, recover }
}

/** Whether an effect succeeds in time. */
const works = (effect: Effect.Effect<unknown, ProviderError>): Effect.Effect<boolean> =>
  Effect.map(
    Effect.timeoutOption(Effect.exit(effect), probeTimeout),
    (result) => result._tag === "Some" && result.value._tag === "Success"
  )
