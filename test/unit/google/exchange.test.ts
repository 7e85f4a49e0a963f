import { describe, expect, it } from "vitest";
import { postForm, postJson, send, type Peer } from "../../../src/google/exchange.ts";
import { MintError } from "../../../src/system/errors.ts";

const URL_OF_PEER = new URL("https://peer.example/token");
const DATE = "Thu, 01 Jan 2026 12:00:00 GMT";
const never = new AbortController().signal;

/** A peer that answers this, and the requests that it got. */
function setUp(answer: () => Response | Promise<Response>, more: Partial<Peer> = {}) {
  const requests: RequestInit[] = [];
  const peer: Peer = {
    name: "the peer",
    fetch: async (_url, init) => {
      requests.push(init);
      return answer();
    },
    ...more,
  };
  return { peer, requests };
}

const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  new Response(JSON.stringify(body), { status, headers });

/** Posts an empty form and returns the MintError that comes of it. */
async function failureOf(peer: Peer, signal = never): Promise<MintError> {
  try {
    await postForm(URL_OF_PEER, new URLSearchParams(), signal, peer);
  } catch (error) {
    if (error instanceof MintError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("a request", () => {
  it("is sent once, without following redirects, and returns the answer with the peer's time", async () => {
    const { peer, requests } = setUp(() => json(200, { id_token: "x" }, { date: DATE }));
    const form = new URLSearchParams({ assertion: "a" });
    const answer = await postForm(URL_OF_PEER, form, never, peer, { "x-more": "1" });
    expect(answer).toMatchObject({ status: 200, body: '{"id_token":"x"}' });
    expect(answer.issuerNowMs).toBe(Date.parse(DATE));
    expect(requests).toEqual([
      { method: "POST", body: form, headers: { "x-more": "1" }, redirect: "manual", signal: never },
    ]);
  });

  it("may carry JSON", async () => {
    const { peer, requests } = setUp(() => json(200, {}));
    await postJson(URL_OF_PEER, { audience: "a" }, never, peer, { authorization: "Bearer x" });
    expect(requests).toMatchObject([
      {
        body: '{"audience":"a"}',
        headers: { authorization: "Bearer x", "content-type": "application/json" },
      },
    ]);
  });

  it.each([undefined, "yesterday"])("has no peer's time if its Date is %s", async (date) => {
    const { peer } = setUp(() => json(200, {}, date === undefined ? {} : { date }));
    const answer = await send(URL_OF_PEER, {}, never, peer);
    expect(answer.issuerNowMs).toBeUndefined();
  });
});

describe("a refusal", () => {
  it("in OAuth's words has their code and description", async () => {
    const body = { error: "invalid_grant", error_description: "Invalid JWT Signature." };
    const { peer } = setUp(() => json(400, body, { date: DATE }));
    expect(await failureOf(peer)).toMatchObject({
      code: "mint_rejected",
      message: "the peer refused: invalid_grant (Invalid JWT Signature.)",
      peerCode: "invalid_grant",
      description: "Invalid JWT Signature.",
      issuerNowMs: Date.parse(DATE),
      ofCredential: true,
      permanent: true,
    });
  });

  it("in the words of Google's APIs is given to the peer's remedy", async () => {
    const details = [{ "@type": "x" }, { reason: "SERVICE_DISABLED" }];
    const error = { status: "PERMISSION_DENIED", message: "The API is off.", details };
    const { peer } = setUp(() => json(403, { error }), {
      remedy: ({ status, code, reason }) => `${status} ${code} ${reason}`,
    });
    expect(await failureOf(peer)).toMatchObject({
      code: "mint_rejected",
      message:
        "the peer refused: PERMISSION_DENIED (The API is off.): 403 PERMISSION_DENIED SERVICE_DISABLED",
    });
  });

  it.each(["invalid_request", "invalid_scope", "invalid_target"])(
    "with %s is of the request and not of the credential",
    async (error) => {
      const { peer } = setUp(() => json(400, { error }));
      expect(await failureOf(peer)).toMatchObject({ code: "mint_rejected", ofCredential: false });
    },
  );

  it.each([
    ["a description that echoes the assertion", { error_description: `bad: ${"a".repeat(40)}` }],
    ["a description with a token in it", { error_description: "bad: eyJhbGciOi" }],
    ["a long description", { error_description: "no ".repeat(101) }],
    ["a description with control characters", { error_description: "no\nway" }],
    ["no description", {}],
  ])("with %s shows only its code", async (_what, fields) => {
    const { peer } = setUp(() => json(400, { error: "invalid_grant", ...fields }));
    const { message, description } = await failureOf(peer);
    expect(message).toBe("the peer refused: invalid_grant");
    expect(description).toBeUndefined();
  });
});

describe("an answer that is no refusal", () => {
  it.each([
    [429, "mint_unavailable"],
    [500, "mint_unavailable"],
    [503, "mint_unavailable"],
    [400, "mint_invalid_answer"],
    [204, "mint_invalid_answer"],
    [307, "mint_invalid_answer"],
  ])("with status %i is %s and has the peer's time", async (status, code) => {
    const { peer } = setUp(() => new Response(null, { status, headers: { date: DATE } }));
    expect(await failureOf(peer)).toMatchObject({
      code,
      message: `the peer answered ${status}`,
      issuerNowMs: Date.parse(DATE),
      permanent: false,
    });
  });

  it.each([
    ["7", 7000],
    ["Thu, 01 Jan 2026 12:00:30 GMT", 30_000],
    ["Thu, 01 Jan 2026 11:00:00 GMT", 0],
    ["soon", 0],
    ["-1", 0],
  ])("asks for a pause by Retry-After %j, a date by the peer's own clock", async (value, ms) => {
    const headers = { date: DATE, "retry-after": value };
    const { peer } = setUp(() => new Response(null, { status: 503, headers }));
    expect((await failureOf(peer)).retryAfterMs).toBe(ms);
  });

  it("is not read beyond 64 KiB", async () => {
    const { peer } = setUp(() => new Response("a".repeat(65_537)));
    expect(await failureOf(peer)).toMatchObject({
      code: "mint_invalid_answer",
      message: "the peer answered more than 65536 bytes",
    });
  });
});

describe("no answer", () => {
  it("has the system's code of the failure, and what to do about the peer's absence", async () => {
    const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
    const fails = () => Promise.reject(new TypeError("fetch failed", { cause: refused }));
    const { peer } = setUp(fails, { absence: "start it" });
    expect(await failureOf(peer)).toMatchObject({
      code: "mint_unavailable",
      message: "no answer from peer.example: ECONNREFUSED: start it",
      networkCode: "ECONNREFUSED",
    });
  });

  it("has the reason of the signal that was aborted", async () => {
    const reason = new MintError("mint_timeout", "no answer within 5000 ms");
    const { peer } = setUp(() => Promise.reject(reason));
    expect(await failureOf(peer, AbortSignal.abort(reason))).toBe(reason);
    const other = setUp(() => Promise.reject(new Error("aborted")));
    expect(await failureOf(other.peer, AbortSignal.abort(reason))).toBe(reason);
  });
});
