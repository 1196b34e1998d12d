/** An id for a tool call that the server sent without one, or with the id of another call. */
export const make = (position: number, taken: { readonly has: (id: string) => boolean }): string => {
  let id = `call_${position}`
  while (taken.has(id)) id += "_"
  return id
}
