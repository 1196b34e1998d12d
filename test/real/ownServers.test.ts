/** The servers that the user names. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { inject } from "@effect/vitest"
import * as Layer from "effect/Layer"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import { testCommon } from "./common.ts"

testCommon("Ollama", inject("ollama"), Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))
testCommon("LM Studio", inject("lmStudio"), Layer.provide(LmStudio.layerConfig(), NodeHttpClient.layerUndici))
