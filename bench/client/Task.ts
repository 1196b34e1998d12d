import type { Subject } from "../subjects/Subject.ts"

/** What is measured of one subject in one round. */
export type Figures = Readonly<Record<string, number>>

/** The half of a measure that runs in the subject's own process. */
export interface Task<Options> {
  readonly name: string
  readonly run: (subject: Subject, options: Options, serverUrl: string) => Promise<Figures>
}

/** What a client process is told and what it answers. */
export interface Order {
  readonly task: string
  readonly options: unknown
}
export type Outcome = { readonly figures: Figures } | { readonly failure: string }
