import { isCollection, isNode, type Node, type Pair, type YAMLMap, type YAMLSeq } from "yaml";

/** The comment above an example until the example itself becomes a comment. */
const EXAMPLE_MARK = "(example)";

/** The parser gives the comment above the first item to the collection. The item may be left out. */
export function moveCommentToFirstItem(collection: YAMLMap | YAMLSeq | Node): void {
  if (!isCollection(collection) || collection.flow === true) return;
  const [first] = collection.items as readonly (Node | Pair<Node>)[];
  const node = isNode(first) ? first : first?.key;
  if (node === undefined) return;
  addCommentBefore(node, collection.commentBefore);
  collection.commentBefore = null;
}

/** In a list, the comment on an item's first key belongs above the dash. */
export function moveCommentAbove(item: YAMLMap): void {
  const [first] = item.items as readonly Pair<Node>[];
  if (first === undefined || item.flow === true) return;
  item.commentBefore = joinComments(item.commentBefore, first.key.commentBefore);
  first.key.commentBefore = null;
}

/** Puts a comment above a node, and above the comments that are there already. */
export function addCommentBefore(node: Node, comment: string | null | undefined): void {
  node.commentBefore = joinComments(comment, node.commentBefore);
}

function joinComments(...comments: readonly (string | null | undefined)[]): string | null {
  return comments.filter(Boolean).join("\n") || null;
}

/** Marks a node as an example, by a comment above it. */
export function markExample(node: Node): void {
  node.commentBefore = joinComments(node.commentBefore, EXAMPLE_MARK);
}

/** Turns the list item below each mark of markExample into a comment. */
export function commentOutExamples(text: string): string {
  const mark = `#${EXAMPLE_MARK}`;
  const lines: string[] = [];
  let example: { readonly indent: number; lines: number } | undefined;
  for (const line of text.split("\n")) {
    const indent = line.search(/\S/);
    // The item's first line is at the mark's indentation, all others are deeper.
    if (example !== undefined && indent <= example.indent && example.lines > 0) example = undefined;
    if (line.trim() === mark) {
      example = { indent, lines: 0 };
    } else if (example === undefined) {
      lines.push(line);
    } else {
      example.lines += 1;
      lines.push(`${line.slice(0, example.indent)}# ${line.slice(example.indent)}`);
    }
  }
  return lines.join("\n");
}
