import { describe, expect, it } from "vitest";
import { createCallerRule } from "../../../src/access/caller-rule.ts";
import type { PolicyCaller } from "../../../src/access/policy.ts";

const ORDERS = "https://orders-abc123-ew.a.run.app";
const STOCK = "https://stock-abc123-ew.a.run.app";
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const CART = "spiffe://cluster.local/ns/shop/sa/cart";
const GATEWAY = "spiffe://cluster.local/ns/gateway/sa/envoy";
const none = { named: undefined, host: undefined };

function caller(
  kind: "client" | "principal",
  name: string,
  audiences: readonly string[],
  account?: string,
): PolicyCaller {
  return { kind, name, audiences, account };
}

const rule = createCallerRule(
  {
    callers: [
      caller("client", WEB, [ORDERS, "https://*.example.run.app"], "web@p"),
      caller("client", "spiffe://cluster.local/ns/shop/sa/*", ["https://*.a.run.app"], "shop@p"),
      caller("client", "spiffe://cluster.local/ns/gateway/sa/*", [STOCK]),
      caller("principal", CART, [STOCK], "cart@p"),
    ],
    principalsFrom: [GATEWAY],
  },
  { fromHost: false },
);
const client = (...names: readonly string[]) => ({ client: names, principal: undefined });

describe("the rule of callers", () => {
  it("grants a client the first of its audiences by default, as its account", () => {
    expect(rule(client(WEB), none)).toEqual({ caller: WEB, audience: ORDERS, account: "web@p" });
    expect(rule(client("other.example.com", WEB), none)).toMatchObject({ caller: WEB });
  });

  it("grants an audience that the entry allows, and no other", () => {
    const named = (audience: string) => rule(client(WEB), { ...none, named: audience });
    expect(named("https://SVC.example.run.app/")).toMatchObject({
      audience: "https://svc.example.run.app",
    });
    expect(named(STOCK), "allowed by a later entry only").toMatchObject({
      caller: WEB,
      refused: "audience_not_allowed",
    });
  });

  it("goes by the first entry that fits", () => {
    const granted = rule(client(CART), { ...none, named: STOCK });
    expect(granted).toMatchObject({
      caller: "spiffe://cluster.local/ns/shop/sa/*",
      account: "shop@p",
    });
  });

  it("has no default if the first audience is a pattern", () => {
    expect(rule(client(CART), none)).toMatchObject({ refused: "audience_missing" });
  });

  it.each([[[]], [["spiffe://cluster.local/ns/other/sa/web"]], [["evil"]]])(
    "refuses the client %j, which no entry fits",
    (names) => {
      expect(rule(client(...names), none)).toEqual({
        caller: undefined,
        refused: "caller_not_allowed",
      });
    },
  );
});

describe("an attested principal", () => {
  it("decides if a trusted client attests it", () => {
    const identity = { client: [GATEWAY], principal: CART };
    expect(rule(identity, none)).toEqual({ caller: CART, audience: STOCK, account: "cart@p" });
  });

  it("does not count from any other client, which gets what is its own", () => {
    const identity = { client: [WEB], principal: CART };
    expect(rule(identity, none)).toMatchObject({ caller: WEB, account: "web@p" });
    expect(rule({ client: [], principal: CART }, none)).toMatchObject({
      refused: "caller_not_allowed",
    });
  });

  it("gets nothing of the trusted client's own if no entry fits it", () => {
    expect(rule({ client: [GATEWAY], principal: "spiffe://evil" }, none)).toEqual({
      caller: undefined,
      refused: "caller_not_allowed",
    });
    expect(rule({ client: [GATEWAY], principal: "" }, none)).toMatchObject({
      refused: "caller_not_allowed",
    });
  });

  it("is no client: an entry for a client does not fit it", () => {
    expect(rule({ client: [GATEWAY], principal: WEB }, none)).toMatchObject({
      refused: "caller_not_allowed",
    });
  });

  it("is needed: without one, a trusted client does not get what is its own", () => {
    expect(rule(client(GATEWAY), none)).toEqual({
      caller: undefined,
      refused: "caller_not_allowed",
    });
  });
});
