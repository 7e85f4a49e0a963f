import { describe, expect, it } from "vitest";
import { Document, parseDocument, Scalar, YAMLSeq, type YAMLMap } from "yaml";
import {
  addCommentBefore,
  commentOutExamples,
  markExample,
  moveCommentAbove,
  moveCommentToFirstItem,
} from "../../../src/envoy/yaml-comments.ts";

function parseList(text: string) {
  const document = parseDocument(text);
  const list = document.contents as YAMLSeq;
  return { document, list, items: list.items as YAMLMap[] };
}

describe("moveCommentToFirstItem", () => {
  it.each([
    [[0], "# of the first\n- 1\n"],
    [[1], "- 2\n"],
  ])("lets the comment above a list go with its first item: %j of it stay", (kept, text) => {
    const list = new YAMLSeq();
    list.items = [new Scalar(1), new Scalar(2)];
    list.commentBefore = " of the first";
    moveCommentToFirstItem(list);
    list.items = kept.map((index) => list.items[index]);
    const document = new Document();
    document.contents = list;
    expect(document.toString()).toBe(text);
  });
});

describe("moveCommentAbove", () => {
  it("moves the comment on the first key of an item above its dash", () => {
    const { document, items } = parseList("-\n  # about a\n  a: 1\n  b: 2\n");
    const [item] = items;
    if (item === undefined) throw new Error("no item");
    moveCommentToFirstItem(item);
    moveCommentAbove(item);
    expect(document.toString()).toBe("# about a\n- a: 1\n  b: 2\n");
  });
});

describe("addCommentBefore", () => {
  it("puts a comment above the one that is there", () => {
    const { document, list } = parseList("- 1\n");
    addCommentBefore(list, " second");
    addCommentBefore(list, " first");
    expect(document.toString()).toBe("# first\n# second\n- 1\n");
  });
});

describe("an example", () => {
  it("becomes a comment at its own indentation, to its last line", () => {
    const { document, items } = parseList("- a: 1\n  b:\n    - 2\n- c: 3\n");
    const [item] = items;
    if (item === undefined) throw new Error("no item");
    markExample(item);
    expect(commentOutExamples(document.toString())).toBe("# - a: 1\n#   b:\n#     - 2\n- c: 3\n");
  });
});
