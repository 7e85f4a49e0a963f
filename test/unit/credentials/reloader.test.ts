import { describe, expect, it } from "vitest";
import { createCredentialReloader, type SwapOutcome } from "../../../src/credentials/reloader.ts";
import type { Credential } from "../../../src/credentials/credential.ts";
import { MintError, StartError } from "../../../src/system/errors.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { idToken } from "../../support/tokens.ts";

const rejected = new MintError("mint_rejected", "invalid_grant");
const unreadable = new StartError("key.json: there is no such file");
const unparsable = new StartError("key.json: it is not JSON, or cut short");

function credential(principal: string, keyId: string): Credential {
  const mint = () => Promise.reject(new Error("not called here"));
  const endpoint = new URL("https://oauth2.googleapis.com/token");
  return { type: "service_account", principal, keyId, endpoint, mint };
}

/** A credential source over a file that is a variable, with proofs that the test decides. */
function setUp() {
  const clock = createFakeClock();
  const first = credential("a@x", "1");
  const file: { content: Credential | StartError; missing: boolean } = {
    content: first,
    missing: false,
  };
  const proofs: { fail: MintError | undefined; made: string[] } = { fail: undefined, made: [] };
  const used: string[] = [];
  const told: (SwapOutcome | "new failure")[] = [];
  const fingerprint = (content: Credential | StartError) =>
    content instanceof StartError ? content.message : `${content.principal} ${content.keyId}`;
  const source = createCredentialReloader({
    initial: first,
    initialFingerprint: fingerprint(first),
    read: async () => {
      if (file.missing) throw unreadable;
      const { content } = file;
      return {
        fingerprint: fingerprint(content),
        parse: () => {
          if (content instanceof StartError) throw content;
          return content;
        },
      };
    },
    prove: async (next) => {
      proofs.made.push(next.keyId);
      if (proofs.fail !== undefined) throw proofs.fail;
      return idToken("default", clock.now());
    },
    tokens: {
      useKey: () => used.push("key"),
      useAccount: async () => void used.push("account"),
    },
    clock,
    events: {
      swapped: () => told.push("ok"),
      swapFailed: ({ outcome, isNew }) =>
        told.push(...(isNew ? ["new failure" as const] : []), outcome),
    },
  });
  return { clock, file, proofs, used, told, source };
}

describe("a new key file", () => {
  it("is left alone while it is the one in use", async () => {
    const { source, proofs, told } = setUp();
    await source.reload();
    await source.reload(true);
    expect(proofs.made).toEqual([]);
    expect(told).toEqual([]);
  });

  it("is proven, then used: a key of the same account beside the cached tokens", async () => {
    const { source, file, proofs, used, told } = setUp();
    file.content = credential("a@x", "2");
    await source.reload();
    expect(proofs.made).toEqual(["2"]);
    expect(used).toEqual(["key"]);
    expect(told).toEqual(["ok"]);
  });

  it("of another account replaces them", async () => {
    const { source, file, used } = setUp();
    file.content = credential("b@x", "1");
    await source.reload();
    expect(used).toEqual(["account"]);
  });

  it("of an account that nobody has named replaces them, even where the old one had none", async () => {
    const { source, file, used } = setUp();
    file.content = credential("", "1");
    await source.reload();
    file.content = credential("", "2");
    await source.reload();
    expect(used).toEqual(["account", "account"]);
  });

  it("that does not parse is told of once, and not used", async () => {
    const { source, file, clock, proofs, used, told } = setUp();
    file.content = unparsable;
    for (let polls = 0; polls < 5; polls++) {
      await source.reload();
      clock.advance(10_000);
    }
    expect(told).toEqual(["new failure", "invalid_file"]);
    expect(proofs.made).toEqual([]);
    file.content = credential("a@x", "2");
    await source.reload();
    expect(used).toEqual(["key"]);
  });

  it("that is missing is told of once, and used when it is back", async () => {
    const { source, file, used, told } = setUp();
    file.missing = true;
    await source.reload();
    await source.reload();
    expect(told).toEqual(["new failure", "invalid_file"]);
    file.missing = false;
    await source.reload();
    expect(told).toHaveLength(2);
    file.content = credential("b@x", "9");
    await source.reload();
    expect(used).toEqual(["account"]);
  });

  it("that is refused is tried again with growing pauses until it works", async () => {
    const { source, file, clock, proofs, used, told } = setUp();
    file.content = credential("a@x", "fresh");
    proofs.fail = rejected;
    await source.reload();
    const pauses: number[] = [];
    for (let tries = 0; tries < 3; tries++) {
      const [pauseMs = Number.NaN] = clock.armed();
      pauses.push(pauseMs);
      await source.reload();
      clock.advance(pauseMs);
      await source.reload();
    }
    expect(pauses).toEqual([1000, 2000, 4000]);
    expect(told).toEqual(["new failure", ...Array<SwapOutcome>(4).fill("mint_rejected")]);
    expect(used).toEqual([]);
    proofs.fail = undefined;
    await source.reload(true);
    expect(used).toEqual(["key"]);
    expect(clock.armed()).toEqual([]);
  });

  it("that went back to the old content ends the tries", async () => {
    const { source, file, clock, proofs } = setUp();
    const old = file.content;
    file.content = credential("a@x", "bad");
    proofs.fail = rejected;
    await source.reload();
    file.content = old;
    await source.reload();
    expect(clock.armed()).toEqual([]);
  });

  it("that changes while another is proven is not missed", async () => {
    const { source, file, proofs, used } = setUp();
    file.content = credential("a@x", "2");
    const first = source.reload();
    file.content = credential("b@x", "3");
    await Promise.all([first, source.reload(), source.reload()]);
    expect(proofs.made).toContain("3");
    expect(used.at(-1)).toBe("account");
  });
});

describe("close", () => {
  it("ends the tries", async () => {
    const { source, file, clock, proofs, used } = setUp();
    file.content = credential("a@x", "bad");
    proofs.fail = rejected;
    await source.reload();
    source.close();
    expect(clock.armed()).toEqual([]);
    proofs.fail = undefined;
    await source.reload(true);
    expect(used).toEqual([]);
  });
});
