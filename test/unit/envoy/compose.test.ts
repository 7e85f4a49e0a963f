import { describe, expect, it } from "vitest";
import { composeYaml, placeholdersOf, type Composition } from "../../../src/envoy/compose.ts";

interface Given {
  readonly files: Readonly<Record<string, string>>;
  readonly features?: readonly string[];
  readonly values?: Composition["values"];
}

/** Composes the part `main` of some parts. */
function compose({ files, features = [], values }: Given): string {
  const read = (file: string) => {
    const text = files[file];
    if (text === undefined) throw new Error(`no file ${file}`);
    return text;
  };
  return composeYaml("main", { read, isOn: (feature) => features.includes(feature), values });
}

describe("a reference to a part", () => {
  it("is replaced by the part, with the comments of both", () => {
    const files = {
      "main.yaml": "# above\na: !part other\n# last\nb: 1\n",
      "other.yaml": "# of the part\nc: 2\n# inside\nd: 3\n",
    };
    expect(compose({ files })).toBe(
      "# above\na:\n  # of the part\n  c: 2\n  # inside\n  d: 3\n# last\nb: 1\n",
    );
  });

  it("in a list adds a map as one item and a list as all its items", () => {
    const files = {
      "main.yaml": "a:\n  - 1\n  # about the map\n  - !part map\n  - !part list\n",
      "map.yaml": "# of the map\nb: 2\nc: 3\n",
      "list.yaml": "# of the list\n- 4\n- 5\n",
    };
    expect(compose({ files })).toBe(
      "a:\n  - 1\n  # about the map\n  # of the map\n  - b: 2\n    c: 3\n  # of the list\n  - 4\n  - 5\n",
    );
  });

  it("passes its anchor on to the part", () => {
    const files = { "main.yaml": "a: &x !part other\nb: *x\n", "other.yaml": "c: 1\n" };
    expect(compose({ files })).toBe("a: &x\n  c: 1\nb: *x\n");
  });

  it("is left out if its feature is off", () => {
    const files = {
      "main.yaml": "- 1\n- !part other if push\n",
      "other.yaml": "a: 2\n",
    };
    expect(compose({ files })).toBe("- 1\n");
    expect(compose({ files, features: ["push"] })).toBe("- 1\n- a: 2\n");
  });

  it("fails if the part is neither a map nor a list, or not YAML", () => {
    const main = { "main.yaml": "a: !part other\n" };
    expect(() => compose({ files: { ...main, "other.yaml": "text\n" } })).toThrow(
      "part other: must be a map or a list",
    );
    expect(() => compose({ files: { ...main, "other.yaml": "a: [\n" } })).toThrow("part other: ");
  });
});

describe("a condition", () => {
  const files = {
    "main.yaml": [
      "a:",
      "  # with checks",
      "  !if:checks b: 1",
      "  # with push",
      "  !if:push b: 2",
      "  # always",
      "  c:",
      "    # an item with push",
      "    - !if:push",
      "      d: 3",
      "    - 4",
      "",
    ].join("\n"),
  };

  it("keeps a key or a list item, and its comment, if the feature is on", () => {
    expect(compose({ files, features: ["push"] })).toBe(
      "a:\n  # with push\n  b: 2\n  # always\n  c:\n    # an item with push\n    - d: 3\n    - 4\n",
    );
  });

  it("removes a key or a list item, and its comment, if the feature is off", () => {
    expect(compose({ files })).toBe("a:\n  # always\n  c:\n    - 4\n");
  });
});

describe("an example", () => {
  it("becomes a comment below its own comment", () => {
    const files = {
      "main.yaml":
        "list:\n  - 1\n\n  # For instance\n  - !example\n    b: 2\n    c: { d: 3 }\n  - !example\n    e: 4\n  - 5\n",
    };
    expect(compose({ files })).toBe(
      "list:\n  - 1\n\n  # For instance\n  # - b: 2\n  #   c: { d: 3 }\n  # - e: 4\n  - 5\n",
    );
  });
});

describe("a script", () => {
  it("is included as it is", () => {
    const script = '-- says "hello"\n\nprint("${not a placeholder}\\n")\n';
    const files = { "main.yaml": "a: !lua hello\n", "hello.lua": script };
    expect(compose({ files })).toBe(`a: |\n${script.replaceAll(/^(?=.)/gm, "  ")}`);
  });
});

describe("a placeholder", () => {
  const files = { "main.yaml": 'a: ${ANY}\nb: "${TEXT}:443"\n' };

  it("stays if there are no values", () => {
    expect(compose({ files })).toBe(files["main.yaml"]);
  });

  it("is replaced by a value of any type, or inside quotes by its text", () => {
    expect(compose({ files, values: { ANY: { c: [1] }, TEXT: 'x"$&: #' } })).toBe(
      'a:\n  c:\n    - 1\nb: "x\\"$&: #:443"\n',
    );
  });

  it("passes its anchor on to the value", () => {
    const list = { "main.yaml": "a: &x ${ANY}\nb: *x\n" };
    expect(compose({ files: list, values: { ANY: [1] } })).toBe("a: &x\n  - 1\nb: *x\n");
  });

  it("fails without a value, and names every one", () => {
    expect(() => compose({ files, values: {} })).toThrow("no value for ANY, TEXT");
  });
});

describe("placeholdersOf", () => {
  it("lists each name once, in order of appearance", () => {
    expect([...placeholdersOf("${B} ${A} $C {D} ${B}")]).toEqual(["B", "A"]);
  });
});
