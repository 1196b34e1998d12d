import { Ollama } from "../../src/index.ts"
import { show } from "./ours.js"

show(Ollama.layer())
