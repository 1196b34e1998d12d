// The compiler has to be in place before the first schema is made, so this import comes first.
import "effect/schema/SchemaJITCompiler/enable"

export { connect } from "./ours.ts"
