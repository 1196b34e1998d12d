// A CommonJS program of a user.
const { MockProvider, Provider } = require("effect-local-llm")
const { FakeServer } = require("effect-local-llm/testing")
const { Effect } = require("effect")

const program = Provider.Provider.use((provider) => provider.complete({ model: "any", prompt: "Why?" }))
Effect.runPromise(Effect.provide(program, MockProvider.layer(["Rayleigh ", "scattering."]))).then(({ content }) =>
  console.log(content, typeof FakeServer.layer)
)
