export * as FakeServer from "./FakeServer.ts"
