/** The answer that a client requests. It is sent as the model's name, because every client passes that on unchanged. */
export const scenario = {
  /** This many tokens, as fast as the client reads them. */
  bulk: (tokens: number) => `bulk:${tokens}`,
  /**
   * 50 tokens a second, one packet each; the text of a token is the time at which it was due. After its first token, an
   * answer waits until this many streams are open.
   */
  paced: (streams: number, seconds: number) => `paced:${streams}:${seconds}`,
  /** Like `paced`, alone, with 20 tokens a second for a second. */
  slow: "slow:1:1",
  /** Five tokens at once, one packet each. */
  small: "small:5",
  /** Like `small`, but the end is never sent: only the client can end it. */
  stalled: "stalled:5"
}

/** What the server lists: gateways pass on requests for known models only. */
export const listedModels: ReadonlyArray<string> = [scenario.small, scenario.slow]

export function parseScenario(model: string) {
  const [kind = "", amount, seconds] = model.split(":")
  return { kind, amount: Number(amount), seconds: Number(seconds) }
}

/** What clients send to proxies. LiteLLM does not start without one. */
export const key = "sk-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/** Every request has the same ones. */
export const messages = [{ role: "user" as const, content: "Why is the sky blue?" }]

export const statusPath = "/status"

export interface ServerStatus {
  /** The 99th percentile of the server's own lateness with paced tokens since the last request, in milliseconds. */
  readonly lateness: number
  /** The sockets on which an answer is still being sent; idle sockets in a client's pool do not count. */
  readonly busySockets: number
}

export async function readStatus(serverUrl: string): Promise<ServerStatus> {
  const response = await fetch(serverUrl + statusPath)
  return (await response.json()) as ServerStatus
}
