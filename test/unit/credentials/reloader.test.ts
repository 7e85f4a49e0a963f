import { describe, expect, it } from "vitest";
import {
  createCredentialReloader,
  type RotationOutcome,
} from "../../../src/credentials/reloader.ts";
import type { Credential } from "../../../src/credentials/credential.ts";
import { MintError, StartError } from "../../../src/system/errors.ts";
import type { Minter } from "../../../src/tokens/account-tokens.ts";
import type { Mint } from "../../../src/tokens/mint-queue.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const rejected = new MintError("mint_rejected", "invalid_grant");
const unreadable = new StartError("key.json: the credential cannot be read: there is no such file");
const UNPARSABLE = "cut short";

/** The content of a credential file, as the test's parser reads it. */
const contentOf = (principal: string, keyId: string) => Buffer.from(`${principal} ${keyId}`);

/** The key of each credential, by its mint function. */
const keyIds = new WeakMap<Mint, string>();

function parse(content: Buffer): Credential {
  const text = content.toString();
  if (text === UNPARSABLE) throw new StartError("key.json: it is not JSON, or cut short");
  const [principal = "", keyId = ""] = text.split(" ");
  const mint = () => Promise.reject(new Error("not called here"));
  keyIds.set(mint, keyId);
  const endpoint = new URL("https://oauth2.googleapis.com/token");
  return { type: "service_account", principal, keyId, endpoint, mint, mintAs: () => mint };
}

/** A reloader whose verifications succeed or fail as the test decides. */
function setUp() {
  const clock = createFakeClock();
  const initialContent = contentOf("a@x", "1");
  const verifications: { error: MintError | undefined; keyIds: string[] } = {
    error: undefined,
    keyIds: [],
  };
  const used: string[] = [];
  const signals: AbortSignal[] = [];
  const prepare =
    (kind: string) =>
    ({ mint }: Minter) => ({
      verify: async (signal: AbortSignal) => {
        signals.push(signal);
        verifications.keyIds.push(keyIds.get(mint) ?? "");
        if (verifications.error !== undefined) throw verifications.error;
      },
      use: () => void used.push(kind),
    });
  const reported: (RotationOutcome | "new failure")[] = [];
  const reloader = createCredentialReloader({
    initial: parse(initialContent),
    initialContent,
    parse,
    tokens: { prepareKey: prepare("key"), prepareAccount: prepare("account") },
    clock,
    events: {
      rotated: () => reported.push("ok"),
      rotationFailed: ({ outcome, isNew }) =>
        reported.push(...(isNew ? ["new failure" as const] : []), outcome),
    },
  });
  return { clock, verifications, signals, used, reported, reloader, initialContent };
}

describe("offered content", () => {
  it("is ignored if it is already in use", async () => {
    const { reloader, verifications, reported, initialContent } = setUp();
    await reloader.offer(initialContent);
    await reloader.retry();
    expect(verifications.keyIds).toEqual([]);
    expect(reported).toEqual([]);
  });

  it("is verified, then used; a new key of the same account leaves cached tokens alone", async () => {
    const { reloader, verifications, used, reported } = setUp();
    await reloader.offer(contentOf("a@x", "2"));
    expect(verifications.keyIds).toEqual(["2"]);
    expect(used).toEqual(["key"]);
    expect(reported).toEqual(["ok"]);
  });

  it("replaces cached tokens if it is of another account", async () => {
    const { reloader, used } = setUp();
    await reloader.offer(contentOf("b@x", "1"));
    expect(used).toEqual(["account"]);
  });

  it("replaces cached tokens if its account is unknown, even where the old one was, too", async () => {
    const { reloader, used } = setUp();
    await reloader.offer(contentOf("", "1"));
    await reloader.offer(contentOf("", "2"));
    expect(used).toEqual(["account", "account"]);
  });

  it("is reported and not used if it does not parse, and is not retried by itself", async () => {
    const { reloader, clock, verifications, used, reported } = setUp();
    await reloader.offer(Buffer.from(UNPARSABLE));
    expect(reported).toEqual(["new failure", "invalid_file"]);
    expect(verifications.keyIds).toEqual([]);
    expect(clock.armed()).toEqual([]);
    await reloader.offer(contentOf("a@x", "2"));
    expect(used).toEqual(["key"]);
  });

  it("is retried with growing pauses while it is refused, until it works", async () => {
    const { reloader, clock, verifications, used, reported } = setUp();
    verifications.error = rejected;
    await reloader.offer(contentOf("a@x", "fresh"));
    const pauses: number[] = [];
    for (let tries = 0; tries < 3; tries++) {
      const [pauseMs = Number.NaN] = clock.armed();
      pauses.push(pauseMs);
      const attempts = verifications.keyIds.length;
      clock.advance(pauseMs - 1);
      expect(verifications.keyIds).toHaveLength(attempts);
      clock.advance(1);
      await expect.poll(() => clock.armed()).toHaveLength(1);
      expect(verifications.keyIds).toHaveLength(attempts + 1);
    }
    expect(pauses).toEqual([1000, 2000, 4000]);
    expect(reported).toEqual(["new failure", ...Array<RotationOutcome>(4).fill("mint_rejected")]);
    expect(used).toEqual([]);
    verifications.error = undefined;
    await reloader.retry();
    expect(used).toEqual(["key"]);
    expect(clock.armed()).toEqual([]);
  });

  it("ends the retries if it is the content in use again", async () => {
    const { reloader, clock, verifications, initialContent } = setUp();
    verifications.error = rejected;
    await reloader.offer(contentOf("a@x", "bad"));
    await reloader.offer(initialContent);
    expect(clock.armed()).toEqual([]);
  });

  it("wins over content that was offered before and is still being verified", async () => {
    const { reloader, verifications, signals, used, reported } = setUp();
    const first = reloader.offer(contentOf("a@x", "2"));
    await Promise.all([first, reloader.offer(contentOf("b@x", "3")), reloader.retry()]);
    expect(verifications.keyIds).toEqual(["2", "3"]);
    expect(signals[0]?.aborted).toBe(true);
    expect(used).toEqual(["account"]);
    expect(reported).toEqual(["ok"]);
  });
});

describe("an unreadable file", () => {
  it("is reported, and its later content is used", async () => {
    const { reloader, used, reported } = setUp();
    reloader.reportUnreadable(unreadable);
    expect(reported).toEqual(["new failure", "invalid_file"]);
    await reloader.offer(contentOf("b@x", "9"));
    expect(used).toEqual(["account"]);
  });

  it("ends the retries of content that it held before", async () => {
    const { reloader, clock, verifications } = setUp();
    verifications.error = rejected;
    await reloader.offer(contentOf("a@x", "bad"));
    reloader.reportUnreadable(unreadable);
    expect(clock.armed()).toEqual([]);
    await reloader.retry();
    expect(verifications.keyIds).toEqual(["bad"]);
  });
});

describe("close", () => {
  it("ends the retries", async () => {
    const { reloader, clock, verifications, used } = setUp();
    verifications.error = rejected;
    await reloader.offer(contentOf("a@x", "bad"));
    reloader.close();
    expect(clock.armed()).toEqual([]);
    verifications.error = undefined;
    await reloader.retry();
    expect(used).toEqual([]);
  });
});
