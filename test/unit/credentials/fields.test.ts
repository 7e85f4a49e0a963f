import { describe, expect, it } from "vitest";
import { objectField, optionalText, textField } from "../../../src/credentials/fields.ts";
import { StartError } from "../../../src/system/errors.ts";

const fields = {
  path: "key.json",
  prefix: "",
  values: { text: "a", empty: "", number: 5, list: [], nothing: null, object: { inner: 5 } },
};

describe("textField", () => {
  it("returns a string that is not empty", () => {
    expect(textField(fields, "text")).toBe("a");
  });

  it.each(["empty", "number", "list", "nothing", "absent"])("refuses the field %s", (name) => {
    expect(() => textField(fields, name)).toThrow(
      new StartError(`key.json: no usable credential: its ${name} is missing`),
    );
  });
});

describe("optionalText", () => {
  it("returns undefined for a field that is missing or empty", () => {
    expect(optionalText(fields, "text")).toBe("a");
    for (const name of ["empty", "nothing", "absent"]) {
      expect(optionalText(fields, name)).toBeUndefined();
    }
  });

  it("refuses a field of another type", () => {
    expect(() => optionalText(fields, "number")).toThrow("its number is not a string");
  });
});

describe("objectField", () => {
  it("names the inner fields with their path", () => {
    expect(() => textField(objectField(fields, "object"), "inner")).toThrow(
      "its object.inner is missing",
    );
  });

  it.each(["text", "list", "nothing", "absent"])("refuses the field %s", (name) => {
    expect(() => objectField(fields, name)).toThrow(`its ${name} is missing`);
  });
});
