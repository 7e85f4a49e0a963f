import GithubSlugger from "github-slugger";
import { lexer, walkTokens, type Token } from "marked";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../support/server-process.ts";

/** One Markdown file of this project. */
export interface Document {
  /** Relative to the project's folder. */
  readonly path: string;
  readonly text: string;
  /** The text of its fenced code blocks of commands (`sh`), in order. */
  readonly commands: readonly string[];
  /** Its commands within sentences and tables that have no placeholder to fill in. */
  readonly inlineCommands: readonly string[];
  /** The files and folders that its sentences name, relative to the project's folder. */
  readonly paths: readonly string[];
  /** The targets of its links, as they are written. */
  readonly links: readonly string[];
  /** What `#…` may follow its name in a link, by GitHub's rules. */
  readonly anchors: readonly string[];
}

const PATH = /^(?:src|test|docs|deploy|envoy|bench|bin|\.ci)\/[\w./-]*$/;
const INLINE_COMMAND = /^(?:npm|npx|idtoken-authz|docker|envoy) /;
/** As in `certs DIR`, `envoy NAME [flags]` and `TOKEN…`. */
const PLACEHOLDER = /\b[A-Z]{2,}\b|\[|…/;

/** Reads every document: those at the top, and all in docs/. */
export async function readDocuments(): Promise<readonly Document[]> {
  const paths: string[] = [];
  for await (const path of glob(["*.md", "docs/**/*.md"], { cwd: ROOT })) paths.push(path);
  return Promise.all(paths.sort().map(readDocument));
}

/** Reads one document. Rejects when it does not exist. */
export async function readDocument(path: string): Promise<Document> {
  const text = await readFile(join(ROOT, path), "utf8");
  const slugger = new GithubSlugger();
  const commands: string[] = [];
  const codeSpans: string[] = [];
  const links: string[] = [];
  const anchors: string[] = [];
  void walkTokens(lexer(text), (token: Token) => {
    if (token.type === "code" && token["lang"] === "sh") commands.push(String(token["text"]));
    if (token.type === "codespan") codeSpans.push(String(token["text"]));
    if (token.type === "link" || token.type === "image") links.push(String(token["href"]));
    if (token.type === "heading") anchors.push(slugger.slug(String(token["text"])));
  });
  return {
    path,
    text,
    commands,
    inlineCommands: codeSpans.filter(
      (each) => INLINE_COMMAND.test(each) && !PLACEHOLDER.test(each),
    ),
    paths: codeSpans.filter((each) => PATH.test(each) && !PLACEHOLDER.test(each)),
    links,
    anchors,
  };
}
