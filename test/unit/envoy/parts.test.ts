import { expect, it } from "vitest";
import { readPart } from "../../../src/envoy/parts.ts";

it("a part is read by its file's name", () => {
  expect(readPart("gateway.yaml")).toContain("static_resources:");
  expect(readPart("redirects.lua")).toContain("function envoy_on_response(");
});

it("an unknown part fails with an error that contains its name", () => {
  expect(() => readPart("missing.yaml")).toThrow("missing.yaml");
});
