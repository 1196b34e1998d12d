/** The pages of `docs/` in the reference: their order, titles and headings. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as TypeDoc from "typedoc"
import { root } from "../scripts/support/repository.ts"

const projectPages = ["CHANGELOG.md", "CONTRIBUTING.md"]

export const categories: ReadonlyArray<string> = ["Guides", "Project"]

/** The pages in the order in which the README lists them, given the files of `docs/`. */
export const order = (files: ReadonlyArray<string>): ReadonlyArray<string> => {
  const readme = readFileSync(join(root, "README.md"), "utf8")
  const places = new Map(files.map((file) => [`docs/${file}`, readme.lastIndexOf(`docs/${file}`)]))
  return [...[...places.keys()].toSorted((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0)), ...projectPages]
}

/** A page of the site gets its title from its first heading. */
export const addTitles = (app: TypeDoc.Application): void => {
  app.converter.on(TypeDoc.Converter.EVENT_CREATE_DOCUMENT, (_, document: TypeDoc.DocumentReflection) => {
    const [, title] = firstHeading.exec(document.content[0]?.text ?? "") ?? []
    if (title === undefined)
      app.logger.warn(`${document.name}: needs a title in its first line, such as "# Resilience"`)
    document.frontmatter["category"] = projectPages.includes(`${document.name}.md`) ? "Project" : "Guides"
    document.name = title ?? document.name
  })
  // The page of the README has the name of the project already.
  app.converter.on(TypeDoc.Converter.EVENT_RESOLVE_BEGIN, ({ project }: TypeDoc.Context) => {
    const [beginning] = project.readme ?? []
    if (beginning !== undefined) beginning.text = beginning.text.replace(firstHeading, "")
  })
}

const firstHeading = /^# (.+)\n/

/** What is used of markdown-it, whose types are not installed. */
interface Token {
  readonly type: string
  content: string
  children: ReadonlyArray<Token> | null
}

interface State {
  readonly Token: new (type: string, tag: string, nesting: number) => Token
  readonly tokens: ReadonlyArray<Token>
}

interface Markdown {
  readonly core: { readonly ruler: { readonly push: (name: string, rule: (state: State) => void) => void } }
}

/** TypeDoc leaves code out of the list of headings and out of their anchors, unless it is text between tags. */
export const keepCodeInHeadings = (markdown: Markdown): void => {
  markdown.core.ruler.push("code_in_headings", ({ Token, tokens }) => {
    const token = (type: string, content: string): Token => Object.assign(new Token(type, "", 0), { content })
    const toText = (child: Token): ReadonlyArray<Token> =>
      child.type === "code_inline"
        ? [token("html_inline", "<code>"), token("text", child.content), token("html_inline", "</code>")]
        : [child]
    for (const [i, { type }] of tokens.entries()) {
      const inline = tokens[i + 1]
      if (type === "heading_open" && inline?.children) inline.children = inline.children.flatMap(toText)
    }
  })
}
