import { describe, expect, it } from "vitest";
import {
  discoveryResponse,
  findOutage,
  InvalidDiscoveryRequest,
  parseDiscoveryRequest,
  type NamedSecret,
} from "../../../src/http/secret-discovery.ts";
import { idToken } from "../../support/tokens.ts";

const TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const found = (name: string): NamedSecret & { token: unknown } => ({
  name,
  token: idToken(name, { wallMs: 0, monotonicMs: 0 }),
});
const denied: NamedSecret = { name: "d", refused: "audience_not_allowed" };
const failed: NamedSecret = { name: "f", failed: "mint_timeout" };

describe("parseDiscoveryRequest", () => {
  it("returns each name once, whether or not the type is given", () => {
    const names = ["a", "b", "a"];
    for (const type of [undefined, TYPE]) {
      const body = JSON.stringify({ type_url: type, resource_names: names, node: { id: "x" } });
      expect(parseDiscoveryRequest(body)).toEqual(["a", "b"]);
    }
  });

  it.each([
    ["", "the request must be a JSON object"],
    ["1", "the request must be a JSON object"],
    ['{"type_url":"x","resource_names":["a"]}', `type_url must be ${TYPE}`],
    ["{}", "resource_names must be a list of 1 to 100 names"],
    ['{"resource_names":[]}', "resource_names must be a list of 1 to 100 names"],
    ['{"resource_names":[null]}', "resource_names must be a list of 1 to 100 names"],
  ])("refuses %j with the rule", (body, rule) => {
    expect(() => parseDiscoveryRequest(body)).toThrow(new InvalidDiscoveryRequest(rule));
  });
});

describe("findOutage", () => {
  it.each([
    [[found("a"), failed], undefined],
    [[denied], undefined],
    [[denied, failed], "mint_timeout"],
  ])("of %j is %s", (secrets, outage) => {
    expect(findOutage(secrets)).toBe(outage);
  });
});

describe("discoveryResponse", () => {
  it("contains each available secret and an error for each other one", () => {
    const token = found("a");
    expect(discoveryResponse([token, denied, failed])).toEqual({
      version_info: expect.any(String),
      type_url: TYPE,
      resources: [
        {
          "@type": TYPE,
          name: "a",
          generic_secret: { secret: { inline_string: expect.stringMatching(/^Bearer /) } },
        },
      ],
      resource_errors: [
        {
          resource_name: { name: "d" },
          error_detail: { code: 7, message: "audience_not_allowed" },
        },
        { resource_name: { name: "f" }, error_detail: { code: 14, message: "mint_timeout" } },
      ],
    });
  });

  it("has a version that depends on the tokens and not on their order", () => {
    const version = (...names: string[]) => discoveryResponse(names.map(found)).version_info;
    expect(version("a", "b")).toBe(version("b", "a"));
    expect(version("a", "b")).not.toBe(version("a", "c"));
    expect(version("a")).toMatch(/^[\w-]{22}$/);
  });
});
