/** The tests of the programs of a registry: a gateway and its hosts for each program, which runs once. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Path from "node:path"
import { afterAll, beforeAll, inject } from "vitest"
import type { Program } from "./clients.ts"
import { expected, programs } from "./clients.ts"
import { hostNames, start } from "./gateways.ts"
import { secret } from "./hosts.ts"
import type { Target } from "./programs/run.ts"
import type { Runner } from "./setup.ts"

/** A line of a program. */
export interface Line {
  readonly client: string
  readonly host: string
  readonly case: string
  readonly result?: unknown
  /** The program did not get to an end. */
  readonly fault?: string
}

/** Runs a program to its end. */
export const run = ({ command }: Runner, file: string, targets: ReadonlyArray<Target>): Promise<string> =>
  new Promise((resolve, reject) => {
    const [name = "", ...args] = command
    const path = Path.join(import.meta.dirname, "programs", file)
    const child = spawn(name, [...args, path, JSON.stringify(targets)], { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.once("error", reject)
    child.once("close", (code) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${file} ended with ${code}: ${errors.slice(-2000)}`))
    })
  })

const testProgram = (runner: Runner, { clients, file }: Program): void => {
  const scope = Scope.makeUnsafe()
  let lines: ReadonlyArray<Line> = []
  let output = ""

  beforeAll(async () => {
    const { targets } = await Effect.runPromise(Scope.provide(start, scope))
    output = await run(runner, file, targets)
    lines = output
      .trim()
      .split("\n")
      .map((line): Line => JSON.parse(line))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  for (const client of clients) {
    for (const host of hostNames) {
      const sights = expected(client, host)
      const ofClient = () => lines.filter((line) => line.client === client.name && line.host === host)
      describe(`${client.name} with ${host} behind the gateway`, () => {
        it("has the cases of its row", () => {
          expect(
            ofClient()
              .map((line) => line.case)
              .toSorted()
          ).toEqual(Object.keys(sights).toSorted())
        })
        it.each(Object.entries(sights))("%s", (name, sight) => {
          const line = ofClient().find((line) => line.case === name)
          expect(line?.fault).toBeUndefined()
          expect(line?.result).toMatchObject(sight as object)
        })
      })
    }
  }

  it("no client sees the text of a host's failure", () => {
    expect(output).not.toContain(secret)
  })
}

/** Tests all clients of a registry, or none of them if they could not be installed. */
export const testAll = (registry: "npm" | "pypi"): void => {
  const runner = inject(registry)
  for (const program of programs[registry]) {
    if ("missing" in runner) it.skip(program.file, () => {})
    else describe(program.file, () => testProgram(runner, program))
  }
}
