/**
 * Loaded into the process of the command line: connections to the usual ports of model servers go to the ports that the
 * test gives in USUAL_PORTS, so that the test does not depend on what runs on the machine.
 */
import * as Net from "node:net"

const ports: Readonly<Record<string, number>> = JSON.parse(process.env["USUAL_PORTS"] ?? "{}")
const connect = Net.Socket.prototype.connect

Object.defineProperty(Net.Socket.prototype, "connect", {
  value: function (this: Net.Socket, ...args: ReadonlyArray<unknown>) {
    const options: unknown = Array.isArray(args[0]) ? args[0][0] : args[0]
    if (typeof options === "object" && options !== null && "port" in options) {
      options.port = ports[String(options.port)] ?? options.port
    }
    return Reflect.apply(connect, this, args)
  }
})
