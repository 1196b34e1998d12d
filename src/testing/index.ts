export * as Cassette from "./Cassette.ts"
export * as FakeServer from "./FakeServer.ts"
