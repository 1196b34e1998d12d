import type { ServerResponse } from "node:http"

/** A piece of a body, framed for chunked transfer once, however often it is sent. */
export function packet(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
}

/**
 * Sends a packet of its own. `response.write` would gather all that is written in one turn, and costs the server
 * several times as much, which on a small machine is taken from the client that is being measured.
 */
export function sendPacket(response: ServerResponse, framed: Buffer): void {
  response.socket?.write(framed)
}
