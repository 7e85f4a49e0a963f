import {
  isCollection,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  Scalar,
  visit,
  type Document,
  type Node,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import {
  addCommentBefore,
  commentOutExamples,
  markExample,
  moveCommentAbove,
  moveCommentToFirstItem,
} from "./yaml-comments.ts";

/** What a config is composed from. */
export interface Composition {
  /** Returns the text of a part (`NAME.yaml`) or of a script (`NAME.lua`). */
  readonly read: (file: string) => string;
  /** Returns whether a feature is on. */
  readonly isOn: (feature: string) => boolean;
  /** The values of the `${NAME}` placeholders. Without it, the placeholders stay. */
  readonly values?: Readonly<Record<string, unknown>> | undefined;
}

const PLACEHOLDER = /\$\{(\w+)\}/g;

/**
 * Composes a YAML file, comments included, from the part `name` and the parts it refers to:
 *
 * - `!part NAME` is replaced by another part. `!part NAME if FEATURE` is left out if the feature is
 *   off. A part that is a list adds all its items to the list that refers to it.
 * - `!lua NAME` is replaced by the text of a script.
 * - `!if:FEATURE`, before a key or a list item, leaves it out if the feature is off.
 * - `!example`, before a list item, turns it into a comment.
 * - `${NAME}` is replaced by its value, which may be of any type unless it is in quotes.
 *
 * Throws an Error that lists every placeholder without a value.
 */
export function composeYaml(name: string, composition: Composition): string {
  const document = parsePart(name, composition);
  if (document.contents !== null) expandChildren(document.contents, composition);
  if (composition.values !== undefined) fillPlaceholders(document, composition.values);
  return commentOutExamples(document.toString({ lineWidth: 0 }));
}

/** The names of a text's `${NAME}` placeholders, in order of appearance. */
export function placeholdersOf(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(PLACEHOLDER)].map(([, name = ""]) => name));
}

function parsePart(name: string, { read }: Composition): Document {
  // Of two keys with the same name, conditions leave one.
  const uniqueKeys = (a: unknown, b: unknown) =>
    isScalar(a) && isScalar(b) && a.value === b.value && a.tag === b.tag;
  const document = parseDocument(read(`${name}.yaml`), { uniqueKeys });
  const [error] = document.errors;
  if (error !== undefined) throw new Error(`part ${name}: ${error.message}`, { cause: error });
  return document;
}

function expandChildren(node: Node, composition: Composition): void {
  if (!isCollection(node)) return;
  moveCommentToFirstItem(node);
  if (isMap(node)) expandMap(node as YAMLMap<Node, Node | null>, composition);
  if (isSeq(node)) expandSeq(node as YAMLSeq<Node>, composition);
}

function expandMap(map: YAMLMap<Node, Node | null>, composition: Composition): void {
  map.items = map.items.filter(({ key }) => isIncluded(key, composition));
  for (const pair of map.items) {
    if (pair.value !== null) pair.value = expand(pair.value, composition);
  }
}

function expandSeq(seq: YAMLSeq<Node>, composition: Composition): void {
  seq.items = seq.items
    .filter((item) => isIncluded(item, composition))
    .flatMap((item) => {
      const expanded = expand(item, composition);
      return expanded !== item && isSeq(expanded) ? (expanded.items as Node[]) : [expanded];
    });
  for (const item of seq.items) if (isMap(item)) moveCommentAbove(item);
}

/** Returns what replaces a node: usually the node itself, with its children expanded. */
function expand(node: Node, composition: Composition): Node {
  if (!isScalar(node) || (node.tag !== "!part" && node.tag !== "!lua")) {
    expandChildren(node, composition);
    return node;
  }
  const [name = ""] = String(node.value).split(" ");
  const replacement =
    node.tag === "!part" ? expandPart(name, composition) : scriptNode(name, composition);
  if (node.anchor !== undefined) replacement.anchor = node.anchor;
  const first = isSeq(replacement) ? (replacement.items[0] as Node) : replacement;
  if (node.spaceBefore === true) first.spaceBefore = true;
  addCommentBefore(first, node.commentBefore);
  return replacement;
}

function expandPart(name: string, composition: Composition): YAMLMap | YAMLSeq {
  const { contents, commentBefore } = parsePart(name, composition);
  if (!isCollection(contents)) throw new Error(`part ${name}: must be a map or a list`);
  addCommentBefore(contents, commentBefore);
  expandChildren(contents, composition);
  return contents;
}

function scriptNode(name: string, { read }: Composition): Scalar {
  const script = new Scalar(read(`${name}.lua`));
  script.type = "BLOCK_LITERAL";
  return script;
}

/** Whether a node stays. Removes the tag that says so. */
function isIncluded(node: Node, { isOn }: Composition): boolean {
  if (isScalar(node) && node.tag === "!part") {
    const [, , feature] = String(node.value).split(" ");
    return feature === undefined || isOn(feature);
  }
  const { tag } = node as { tag?: string };
  const condition = tag?.startsWith("!if:") === true ? tag.slice("!if:".length) : undefined;
  if (tag === "!example") markExample(node);
  if (tag === "!example" || condition !== undefined) delete (node as { tag?: string }).tag;
  return condition === undefined || isOn(condition);
}

function fillPlaceholders(document: Document, values: Readonly<Record<string, unknown>>): void {
  const missing = new Set<string>();
  const valueOf = (name: string): unknown => {
    if (!Object.hasOwn(values, name)) missing.add(name);
    return values[name];
  };
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== "string") return undefined;
      const [placeholder, name = ""] = new RegExp(PLACEHOLDER.source).exec(node.value) ?? [];
      if (placeholder === undefined) return undefined;
      if (node.type === "PLAIN" && placeholder === node.value) {
        const value = document.createNode(valueOf(name));
        if (node.anchor !== undefined) (value as Scalar).anchor = node.anchor;
        return value;
      }
      node.value = node.value.replaceAll(PLACEHOLDER, (_, each: string) => String(valueOf(each)));
      return undefined;
    },
  });
  if (missing.size > 0) throw new Error(`no value for ${[...missing].join(", ")}`);
}
