/** The folders where a platform expects the files of a program. */
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import { platform } from "node:process"
import { variable } from "./access.ts"

/** A file of settings. `undefined` if no folder is known. */
export const configuration = (name: string) => find("XDG_CONFIG_HOME", { windows: "APPDATA", home: [".config"] }, name)

/** A file with prompts or answers that the program itself writes. `undefined` if that is switched off, or no folder is known. */
export const state = Effect.fnUntraced(function* (name: string) {
  if ((yield* variable("LOCAL_LLM_NOHISTORY")).trim() !== "") return undefined
  const home = platform === "darwin" ? ["Library", "Application Support"] : [".local", "state"]
  return yield* find("XDG_STATE_HOME", { windows: "LOCALAPPDATA", home }, name)
})

/** A variable that is not an absolute path does not count, as the XDG specification says. */
const find = Effect.fnUntraced(function* (
  xdg: string,
  otherwise: { readonly windows: string; readonly home: ReadonlyArray<string> },
  name: string
) {
  const path = yield* Path.Path
  const named = yield* variable(xdg)
  const [root, ...parts] = path.isAbsolute(named)
    ? [named]
    : platform === "win32"
      ? [yield* variable(otherwise.windows)]
      : [yield* variable("HOME"), ...otherwise.home]
  return root === undefined || root.trim() === "" ? undefined : path.join(root, ...parts, "local-llm", name)
})
