/** In this repository the library is used from its sources. An application needs none of this. */
export default { resolve: { conditions: ["effect-local-llm:source", "module", "browser"] } }
