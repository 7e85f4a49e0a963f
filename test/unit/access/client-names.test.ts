import { describe, expect, it } from "vitest";
import { clientNames, parseNames } from "../../../src/access/client-names.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";

describe("parseNames", () => {
  it.each([
    ["", []],
    [`DNS:web.example.com, URI:${WEB}, IP Address:127.0.0.1, email:a@b`, ["web.example.com", WEB]],
    ['URI:"spiffe://a/b, DNS:evil", DNS:c', ["spiffe://a/b, DNS:evil", "c"]],
    ['DNS:"a\\"b, URI:evil"', ['a"b, URI:evil']],
    ["othername:<unsupported>, DNS:a", ["a"]],
  ])("finds the DNS names and URIs of %s", (written, names) => {
    expect(parseNames(written)).toEqual(names);
  });
});

describe("clientNames", () => {
  it("is empty for a connection without a verified certificate", () => {
    expect(clientNames({})).toEqual([]);
    expect(clientNames(undefined)).toEqual([]);
  });
});
