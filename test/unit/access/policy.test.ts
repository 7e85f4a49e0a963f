import { describe, expect, it } from "vitest";
import { parsePolicy } from "../../../src/access/policy.ts";
import { UsageError } from "../../../src/system/errors.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";

function parseAccount(text: string): string {
  if (!text.endsWith(".gserviceaccount.com")) throw new Error("must be a service account");
  return text;
}

const parse = (text: string) => parsePolicy(text, "/etc/policy.yaml", parseAccount);

/** The faults of a policy, without the file's name. */
function faultsOf(text: string): readonly string[] {
  try {
    parse(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.message.split("\n").map((line) => line.replace("/etc/policy.yaml:", ""));
  }
  return [];
}

describe("parsePolicy", () => {
  it("returns the callers in their order, with audiences in canonical form", () => {
    const policy = parse(`
callers:
  - client: ${WEB}
    audiences: [https://Orders-abc123-ew.a.run.app/]
    impersonate: shop-web@my-project.iam.gserviceaccount.com
  - principal: spiffe://cluster.local/ns/shop/sa/*
    audiences:
      - https://*.a.run.app
      - my-audience
principals_from: [spiffe://cluster.local/ns/gateway/sa/envoy]
`);
    expect(policy).toEqual({
      callers: [
        {
          kind: "client",
          name: WEB,
          audiences: ["https://orders-abc123-ew.a.run.app"],
          account: "shop-web@my-project.iam.gserviceaccount.com",
        },
        {
          kind: "principal",
          name: "spiffe://cluster.local/ns/shop/sa/*",
          audiences: ["https://*.a.run.app", "my-audience"],
          account: undefined,
        },
      ],
      principalsFrom: ["spiffe://cluster.local/ns/gateway/sa/envoy"],
    });
  });

  it("lists every fault with its line, in their order", () => {
    const faults = faultsOf(`callers:
  - client: "*"
    audiences:
      - https://ok.run.app
      - "*"
    impersonate: me@example.com
  - audience: [a]
  - client: ${WEB}
    principal: ${WEB}
    audiences: a
  - client: ${WEB}
    audiences: [7]
extra: 1
`);
    expect(faults).toEqual([
      expect.stringMatching(/^2: callers\[0\]\.client "\*": matches too much: /),
      expect.stringMatching(/^5: callers\[0\]\.audiences\[1\] "\*": matches too much: /),
      '6: callers[0].impersonate "me@example.com": must be a service account',
      "7: callers[1]: must have either client or principal",
      "7: callers[1].audiences: must be a list with at least one entry",
      "7: callers[1].audience: is unknown; known are client, principal, audiences, impersonate",
      "8: callers[2]: must have either client or principal",
      expect.stringMatching(/^9: callers\[2\]\.principal .*: counts only if principals_from/),
      "10: callers[2].audiences: must be a list with at least one entry",
      "12: callers[3].audiences[0]: must be a text",
      "13: extra: is unknown; known are callers, principals_from",
    ]);
  });

  it("refuses a client that could never be answered as itself", () => {
    const entry = `  - client: ${WEB}\n    audiences: [https://a.run.app]\n`;
    expect(faultsOf(`callers:\n${entry}principals_from: ["${WEB.replace("web", "*")}"]\n`)).toEqual(
      [`2: callers[0].client "${WEB}": is in principals_from, so that only principals count`],
    );
  });

  it("refuses a caller that is listed twice", () => {
    const entry = `  - client: ${WEB}\n    audiences: [https://a.run.app]\n`;
    expect(faultsOf(`callers:\n${entry}${entry}`)).toEqual([
      `4: callers[1].client "${WEB}": is listed already`,
    ]);
  });

  it.each([
    ["", "1: the policy: must be a mapping with callers, principals_from"],
    ["[]", "1: the policy: must be a mapping with callers, principals_from"],
    ["callers: []", "1: callers: must be a list with at least one entry"],
    [
      "callers: [7]",
      "1: callers[0]: must be a mapping with client, principal, audiences, impersonate",
    ],
  ])("refuses %j", (text, fault) => {
    expect(faultsOf(text)).toContain(fault);
  });

  it.each([
    ["callers:\n\t- client: a", /^2: /],
    ["callers: [\n", /^\d: /],
    ["callers: 1\ncallers: 2\n", /^2: .*unique/],
  ])("refuses what is not YAML: %j", (text, fault) => {
    expect(faultsOf(text)[0]).toMatch(fault);
  });

  it("refuses a name that begins with * without quotes, which YAML takes for an alias", () => {
    const faults = faultsOf(`callers:
  - client: *.shop.example.com
    audiences: [https://a.run.app, *-shop]
`);
    const rule = "a text that begins with * must be in quotes";
    expect(faults).toEqual([`2: "*.shop.example.com": ${rule}`, `3: "*-shop": ${rule}`]);
  });

  it("takes aliases of what is in it", () => {
    const { callers } = parse(`callers:
  - {client: web.example.com, audiences: &shop [https://a.run.app]}
  - {client: cart.example.com, audiences: *shop}
`);
    expect(callers.map(({ audiences }) => audiences)).toEqual([
      ["https://a.run.app"],
      ["https://a.run.app"],
    ]);
  });

  it("refuses aliases that stand for more and more", () => {
    const tens = (name: string) => `[${Array(10).fill(`*${name}`).join(", ")}]`;
    const text = `a: &a [x]\nb: &b ${tens("a")}\nc: &c ${tens("b")}\nd: &d ${tens("c")}\n`;
    expect(faultsOf(text)).toEqual(["1: the policy: its aliases stand for too many values"]);
  });

  it("shows no value that may be a secret", () => {
    const [fault] = faultsOf('callers: [{client: a.b.c, audiences: [a], impersonate: "ya29.abc"}]');
    expect(fault).toBe("1: callers[0].impersonate (value not shown): must be a service account");
  });
});
