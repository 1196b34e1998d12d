/** The fields that files of settings have in common. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as BaseUrl from "../values/baseUrl.ts"

export const text = Schema.NonEmptyString

export const count = (minimum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum, { message: `Expected a whole number, ${minimum} or more` }))

export const time = Schema.String.check(
  Schema.isPattern(/^(\d{1,6}(\.\d{1,3})?(ms|[smh])|never)$/u, {
    message: "Expected a time such as 90s, 10m or 2h, or never"
  })
)

/** What editors cannot check. They check what is beside it. */
export const filter = <A>(find: (value: A) => Schema.FilterOutput | string | undefined) =>
  Schema.makeFilter<A>(find, { toJsonSchema: () => [{}, true] })

/** Only the kind of the server knows which path an address may have. `instead` says where credentials belong. */
export const address = (instead: string) =>
  text.check(
    filter((address) =>
      Result.match(BaseUrl.parse(address, { port: "", root: "" }), {
        onFailure: (fault) => fault.replace("use `token` or `headers`", instead),
        onSuccess: () => undefined
      })
    )
  )

export const optional = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).pipe(Schema.annotateKey({ description }))

export const $schema = optional(Schema.String, "The schema of this file, for editors")
