/** What the server is asked to answer with. It travels as the model's name, the one thing every client passes on. */
export const scenario = {
  /** So many tokens, as fast as the client takes them. */
  bulk: (tokens: number) => `bulk:${tokens}`,
  /** 50 tokens a second, each a packet of its own whose text is the time at which it was due. */
  paced: (seconds: number) => `paced:${seconds}`,
  /** As `paced`, but only the first token comes before so many have asked for it. */
  together: (streams: number, seconds: number) => `together:${streams}:${seconds}`,
  /** Five tokens at once, each a packet of its own. */
  small: "small:5",
  /** As `small`, but the end never comes: only the client can close it. */
  stalled: "stalled:5"
}

export function parseScenario(model: string) {
  const [kind = "", amount, seconds] = model.split(":")
  return { kind, amount: Number(amount), seconds: Number(seconds) }
}
