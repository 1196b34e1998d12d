/** TypeDoc with the options of this project. */
import { join } from "node:path"
import * as TypeDoc from "typedoc"
import { listFiles, root } from "../scripts/support/repository.ts"
import * as Guides from "./guides.ts"
import * as Modules from "./modules.ts"
import * as Schemas from "./schemas.ts"

const options: Partial<TypeDoc.TypeDocOptions> = {
  name: "effect-local-llm",
  includeVersion: true,
  entryPoints: Modules.order(listFiles("src", ".ts")).map((file) => join(root, file)),
  sortEntryPoints: false,
  tsconfig: join(import.meta.dirname, "tsconfig.json"),
  readme: join(root, "README.md"),
  projectDocuments: Guides.order(listFiles("docs", ".md")).map((file) => join(root, file)),
  out: join(root, "site"),
  // The same links in every clone, also in one without a remote.
  disableGit: true,
  basePath: root,
  gitRevision: "main",
  sourceLinkTemplate: "https://github.com/effect-local-llm/effect-local-llm/blob/{gitRevision}/{path}#L{line}",

  // Otherwise the order stays that of the sources.
  sort: ["documents-first"],
  categorizeByGroup: false,
  categoryOrder: [...Guides.categories, ...Modules.categories, "*"],
  navigation: { includeCategories: true, includeGroups: false, includeFolders: false },
  useFirstParagraphOfCommentAsSummary: true,
  excludeExternals: true,
  // Not exported: what types of `Pool` and `Discovery` are derived from.
  intentionallyNotExported: [
    "src/Discovery.ts:Providers",
    "src/values/json.ts:JsonObject",
    "src/policies/pool/host.ts:Prediction",
    "src/cluster/options.ts:Host",
    "src/policies/pool/options.ts:HostOptions",
    "src/policies/pool/queue.ts:HostState",
    "src/policies/pool/waitingList.ts:Caller",
    "src/servers/kinds.ts:LocalKind"
  ],

  highlightLanguages: [...TypeDoc.OptionDefaults.highlightLanguages, "ini", "nginx"],
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: true },
  requiredToBeDocumented: ["Module", "Variable", "Function", "Class", "Interface", "TypeAlias"],
  markdownItLoader: Guides.keepCodeInHeadings
}

/** Whether the site was written without an error or a warning. */
export const generate = async (): Promise<boolean> => {
  const app = await TypeDoc.Application.bootstrap(options)
  Guides.addTitles(app)
  Modules.addHeaders(app)
  Schemas.simplify(app)
  const project = await app.convert()
  if (project === undefined) return false
  app.validate(project)
  if (app.logger.hasErrors() || app.logger.hasWarnings()) return false
  await app.generateOutputs(project)
  return !app.logger.hasErrors() && !app.logger.hasWarnings()
}
