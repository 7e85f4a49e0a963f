import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startInProcess, type InProcessServer } from "../support/in-process-server.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import type { LogLine } from "../support/server-process.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";
import type { TokenFault } from "../support/token-fault.ts";

const A = "https://a.run.app";
const MINT_TIMEOUT_MS = 5000;
/** When the renewal of a token with a life of one hour is due. */
const DUE_MS = 2_700_000;

/** The ways in which the token endpoint can fail, with the code of the failed mint. */
const FAULTS: readonly (readonly [string, TokenFault, string])[] = [
  ["drops connections", { kind: "refuse" }, "mint_unavailable"],
  ["hangs", { kind: "hang" }, "mint_timeout"],
  ["resets the connection during its answer", { kind: "reset" }, "mint_unavailable"],
  ["answers 500", { kind: "status", status: 500 }, "mint_unavailable"],
  ["answers 503", { kind: "status", status: 503 }, "mint_unavailable"],
  [
    "answers 429",
    { kind: "status", status: 429, headers: { "retry-after": "7" } },
    "mint_unavailable",
  ],
  [
    "answers 400 invalid_grant",
    { kind: "status", status: 400, body: { error: "invalid_grant" } },
    "mint_rejected",
  ],
  ["answers 400 without an OAuth error", { kind: "status", status: 400 }, "mint_invalid_answer"],
  [
    "redirects",
    { kind: "status", status: 307, headers: { location: "/token" } },
    "mint_invalid_answer",
  ],
  ["answers with an empty body", { kind: "empty" }, "mint_invalid_answer"],
  ["answers with a web page", { kind: "html" }, "mint_invalid_answer"],
  ["answers with 200 MB", { kind: "huge" }, "mint_invalid_answer"],
  ["answers without an id_token", { kind: "no_id_token" }, "mint_invalid_answer"],
  ["answers with a number as id_token", { kind: "id_token_not_text" }, "mint_invalid_answer"],
  ["answers with a token for another audience", { kind: "wrong_audience" }, "mint_invalid_answer"],
  ["answers with an expired token", { kind: "expired" }, "mint_invalid_answer"],
  ["answers with control characters", { kind: "control_characters" }, "mint_invalid_answer"],
  ["echoes the assertion", { kind: "echo" }, "mint_rejected"],
];

let endpoint: TokenEndpoint;
let keyFile = "";
const parts = new AsyncDisposableStack();

beforeAll(async () => {
  ({ endpoint, keyFile } = parts.use(await startKeyedEndpoint()));
});
afterAll(() => parts.disposeAsync());

/** Starts the server in this process with the endpoint's key. */
function start(...flags: readonly string[]): Promise<InProcessServer> {
  endpoint.setFault(undefined);
  return startInProcess(endpoint, ["--credentials", keyFile, ...flags]);
}

const minted = ({ event }: LogLine) => event === "minted";

describe.each(FAULTS)("a token endpoint that %s", (_how, fault, code) => {
  it("makes checks without a cached token fail with 503 and the code, after one exchange", async () => {
    await using server = await start("--allow-audience", A);
    endpoint.setFault(fault);
    const exchange = endpoint.nextExchange();
    const checks = [server.check(A), server.check(A), server.check(A)];
    await exchange;
    if (fault.kind === "hang") server.clock.advance(MINT_TIMEOUT_MS);
    const refused = { status: 503, token: null, body: JSON.stringify({ error: code }) };
    expect(await Promise.all(checks)).toEqual([refused, refused, refused]);
    expect(await server.check(A)).toEqual(refused);
    const unavailable = { code: status.UNAVAILABLE, details: code };
    expect(await server.checkOverGrpc(A)).toEqual(unavailable);
    expect(server.exchanges()).toBe(1);
  });

  it("does not affect checks with a fresh token, which need no exchange", async () => {
    await using server = await start("--audience", A);
    await server.lines.line(minted);
    const { token } = await server.check(A);
    endpoint.setFault(fault);
    expect(token).toMatch(/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/);
    expect(await server.check(A)).toEqual({ status: 200, token, body: "" });
    expect(await server.checkOverGrpc(A)).toEqual({ code: status.OK, details: token });
    expect(server.exchanges()).toBe(1);
  });

  it("makes checks get the old token while renewal fails, without delay, after one exchange", async () => {
    await using server = await start("--audience", A);
    await server.lines.line(minted);
    const { token } = await server.check(A);
    endpoint.setFault(fault);
    const exchange = endpoint.nextExchange();
    server.clock.advance(DUE_MS);
    await exchange;
    expect(await server.check(A)).toEqual({ status: 200, token, body: "" });
    if (fault.kind === "hang") server.clock.advance(MINT_TIMEOUT_MS);
    const failed = await server.lines.line(({ event }) => event === "mint_failed");
    expect(failed).toMatchObject({ level: "warn", audience: A, err: { code } });
    expect(await server.check(A)).toEqual({ status: 200, token, body: "" });
    expect(await server.checkOverGrpc(A)).toEqual({ code: status.OK, details: token });
    expect(server.exchanges()).toBe(2);
  });
});
