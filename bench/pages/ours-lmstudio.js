import { LmStudio } from "../../src/index.ts"
import { show } from "./ours.js"

show(LmStudio.layer())
