/** The permits of a host: those of requests that it answers, and of requests that were given up and whose prompts it may still read. */
import * as Host from "./host.ts"

export const take = (host: Host.Host, model: string | undefined): void => {
  host.active++
  host.lane ??= { model }
}

/** Gives a permit back, or keeps it for a request that was abandoned. */
export const give = (host: Host.Host, abandoned: Host.Abandoned | undefined): void => {
  host.active--
  if (abandoned !== undefined) host.abandoned.add(abandoned)
  clearLane(host)
}

/** Gives back the permits of requests that were abandoned. Returns whether there were any. */
export const endAbandoned = (host: Host.Host, which: (each: Host.Abandoned) => boolean): boolean => {
  const ended = [...host.abandoned].filter(which)
  for (const each of ended) host.abandoned.delete(each)
  clearLane(host)
  return ended.length > 0
}

const clearLane = (host: Host.Host): void => {
  if (Host.used(host) === 0) host.lane = undefined
}
