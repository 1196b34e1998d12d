/** The clients of PyPI. */
import { testAll } from "./tests.ts"

testAll("pypi")
