/** The answer that a client requests. It is sent as the model's name, because every client passes that on unchanged. */
export const scenario = {
  /** This many tokens, as fast as the client reads them. */
  bulk: (tokens: number) => `bulk:${tokens}`,
  /**
   * 50 tokens a second, one packet each; the text of a token is the time at which it was due. After its first token, an
   * answer waits until this many streams are open.
   */
  paced: (streams: number, seconds: number) => `paced:${streams}:${seconds}`,
  /** Five tokens at once, one packet each. */
  small: "small:5",
  /** Like `small`, but the end is never sent: only the client can end it. */
  stalled: "stalled:5"
}

export function parseScenario(model: string) {
  const [kind = "", amount, seconds] = model.split(":")
  return { kind, amount: Number(amount), seconds: Number(seconds) }
}

/** Every request has the same ones. */
export const messages = [{ role: "user" as const, content: "Why is the sky blue?" }]
