/**
 * What gateways and the scheduler of a cluster say to each other. No text of a prompt or of a completion is in it.
 *
 * A gateway has one connection, whose stream brings it grants. What it says goes in lists, of which one is under way at a time, so a
 * busy gateway sends few calls. Lists are numbered, so one that arrives twice or late changes nothing.
 */
import * as Entity from "effect/cluster/Entity"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import { WithServer } from "../ProviderError.ts"
import { Usage, Timings } from "../StreamingChunk.ts"

/** A server that takes part in a cluster. */
export const Host = Schema.Struct({
  name: Schema.String,
  kind: Schema.Literals(["ollama", "llama-server", "lmstudio", "openai"]),
  url: Schema.String,
  permits: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  oneModelAtATime: Schema.optional(Schema.Boolean)
})
export type Host = typeof Host.Type

const Caller = Schema.Struct({
  /** A hash of it. */
  name: Schema.String,
  weight: Schema.optional(Schema.Number),
  priority: Schema.optional(Schema.Literals(["interactive", "batch"]))
})

const Names = Schema.Array(Schema.String)

/** What a scheduler has to know of a request. Hosts are named. */
const Subject = Schema.Struct({
  id: Schema.String,
  model: Schema.UndefinedOr(Schema.String),
  /** Tells the request from others, together with the prompt. */
  fingerprint: Schema.Number,
  prompt: Schema.Struct({
    hashes: Schema.Array(Schema.Number),
    ends: Schema.Array(Schema.Number),
    characters: Schema.Number
  }),
  caller: Caller,
  tried: Names,
  inUse: Names,
  failed: Names,
  crashed: Names,
  minTokens: Schema.Number,
  /** How long it is in the pool, in milliseconds. */
  waited: Schema.Number
})
export type Subject = typeof Subject.Type

/** A request wants a host, for at most `left` milliseconds. */
const Acquire = Schema.TaggedStruct("Acquire", {
  subject: Subject,
  kind: Schema.Literals(["total", "first-chunk", "idle"]),
  limit: Schema.Number,
  left: Schema.Number
})
export type Acquire = typeof Acquire.Type

/** The first chunk that carries anything has come. */
const Begin = Schema.TaggedStruct("Begin", { id: Schema.String })

/** A request gives its host back, or no longer waits for one. */
const End = Schema.TaggedStruct("End", {
  id: Schema.String,
  outcome: Schema.Union([Schema.Literals(["succeeded", "stopped"]), WithServer]),
  progress: Schema.Literals(["none", "begun", "committed"]),
  final: Schema.optional(Schema.Struct({ usage: Schema.optional(Usage), timings: Schema.optional(Timings) }))
})

/** A request that has a host. */
const Held = Schema.Struct({ subject: Subject, host: Schema.String, hasBegun: Schema.Boolean })
export type Held = typeof Held.Type

/** All that the gateway has, for a scheduler that does not know it: what is not in it has ended. */
const Sync = Schema.TaggedStruct("Sync", {
  hosts: Schema.Array(Host),
  held: Schema.Array(Held),
  waiting: Schema.Array(Acquire)
})
export type Sync = typeof Sync.Type

export const Message = Schema.Union([Acquire, Begin, End, Sync])
export type Message = typeof Message.Type

const Prediction = Schema.Struct({
  permit: Schema.Number,
  queue: Schema.Number,
  load: Schema.Number,
  read: Schema.Number,
  others: Schema.Number,
  failed: Schema.Number,
  total: Schema.Number,
  promptTokens: Schema.Number,
  cachedTokens: Schema.Number
})

/** Also of a request that the gateway has given up meanwhile. */
const Granted = Schema.TaggedStruct("Granted", { id: Schema.String, host: Schema.String, prediction: Prediction })
export type Granted = typeof Granted.Type

const Refused = Schema.TaggedStruct("Refused", { id: Schema.String, error: WithServer })

/** The hosts, and how many gateways there are. If it is not complete, there may be others, which a new scheduler does not know yet. */
const Members = Schema.TaggedStruct("Members", {
  hosts: Schema.Array(Host),
  gateways: Schema.Int,
  isComplete: Schema.Boolean
})
export type Members = typeof Members.Type

export const Event = Schema.Union([Granted, Refused, Members])
export type Event = typeof Event.Type

export const Connect = Rpc.make("Connect", { payload: { gateway: Schema.String }, success: Event, stream: true })

/** `unknown`: the gateway has to connect first. `unsynced`: the list was not taken, because it needs a `Sync` at its beginning. */
export const Received = Schema.Literals(["ok", "unsynced", "unknown"])

export const Sent = Schema.Struct({
  gateway: Schema.String,
  /** Grows with each list of the gateway. */
  number: Schema.Int,
  messages: Schema.Array(Message)
})
export type Sent = typeof Sent.Type

export const Send = Rpc.make("Send", { payload: Sent, success: Received })

/** A host takes part for as long as it registers. Returns whether its name is free, or its own. */
export const Register = Rpc.make("Register", { payload: { host: Host }, success: Schema.Boolean })

/** A host gets no new requests, and leaves when its answers have ended. Returns whether they have. */
export const Leave = Rpc.make("Leave", { payload: { host: Schema.String }, success: Schema.Boolean })

export const State = Schema.Struct({
  hosts: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      permits: Schema.Int,
      active: Schema.Int,
      abandoned: Schema.Int,
      status: Schema.Literals(["ready", "off", "draining"]),
      prediction: Schema.optionalKey(Prediction),
      firstChunk: Schema.optionalKey(Schema.Struct({ predicted: Schema.Number, observed: Schema.Number }))
    })
  ),
  waiting: Schema.Int
})

export const Inspect = Rpc.make("Inspect", { success: State })

export const Pool = Entity.make("effect-local-llm/Pool", [Connect, Send, Register, Leave, Inspect])
