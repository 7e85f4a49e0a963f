import { describe, expect, it } from "vitest";
import { createAudienceRule } from "../../../src/access/audience.ts";
import { createAuthorize } from "../../../src/check/authorize.ts";

const A = "https://a.run.app";
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const chooseAudience = createAudienceRule({ configured: [A], allowed: [], fromHost: false });
const from = (...client: readonly string[]) => ({
  client,
  principal: undefined,
  named: undefined,
  host: undefined,
});

describe("createAuthorize", () => {
  it("goes by the audience alone without a policy and a list of clients", () => {
    const authorize = createAuthorize({ chooseAudience, allowClients: [], policy: undefined });
    expect(authorize(from())).toEqual({ audience: A });
    expect(authorize({ ...from(WEB), named: "b" })).toEqual({ refused: "audience_not_allowed" });
  });

  it("denies clients that are not on the list", () => {
    const allowClients = ["spiffe://cluster.local/ns/shop/sa/*"];
    const authorize = createAuthorize({ chooseAudience, allowClients, policy: undefined });
    expect(authorize(from("other", WEB))).toEqual({ audience: A });
    expect(authorize(from("other"))).toEqual({ refused: "caller_not_allowed" });
    expect(authorize(from())).toEqual({ refused: "caller_not_allowed" });
  });

  it("goes by the policy alone if there is one", () => {
    const grant = { caller: WEB, audience: "b", account: "web@p" };
    const seen: unknown[] = [];
    const policy = {
      grant: (...given: readonly unknown[]) => {
        seen.push(...given);
        return grant;
      },
    };
    const authorize = createAuthorize({ chooseAudience, allowClients: [], policy });
    expect(authorize(from(WEB))).toBe(grant);
    expect(seen).toEqual([from(WEB), from(WEB)]);
  });
});
