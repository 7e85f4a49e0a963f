import { decodeJwt } from "jose";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startInProcess, type InProcessServer } from "../support/in-process-server.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "../support/keyed-endpoint.ts";
import type { LogLine } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";

const A = "https://a.run.app";
const B = "https://b.run.app";
const OLD = "caller@test-project.iam.gserviceaccount.com";
const [NEW, NEWEST] = ["new", "newest"].map(
  (name) => `${name}@test-project.iam.gserviceaccount.com`,
) as [string, string];
const parts = new AsyncDisposableStack();
let keyed: KeyedEndpoint;

beforeAll(async () => {
  keyed = parts.use(await startKeyedEndpoint());
});
afterEach(() => keyed.endpoint.setFault(undefined));
afterAll(() => parts.disposeAsync());

const rotated = ({ event }: LogLine) => event === "credential_rotated";
const refused = ({ event }: LogLine) => event === "credential_rejected";

/** Starts the server with the old account and two audiences, each with a token. */
async function start(): Promise<InProcessServer> {
  const { endpoint, account, keyFile } = keyed;
  await account.writeTo(keyFile);
  const flags = [`--credentials=${keyFile}`, `--audience=${A}`, `--audience=${B}`];
  const server = await startInProcess(endpoint, flags);
  expect(await accountsOf(server)).toEqual([OLD, OLD]);
  return server;
}

/** Sends a check for each audience; returns the accounts of the tokens, or the statuses. */
function accountsOf(server: InProcessServer): Promise<readonly unknown[]> {
  return Promise.all(
    [A, B].map(async (audience) => {
      const { status, token } = await server.check(audience);
      return token === null ? status : decodeJwt(token.slice("Bearer ".length))["email"];
    }),
  );
}

/** Replaces the key file by one for this account. */
async function changeTo(clientEmail: string, server: InProcessServer): Promise<void> {
  const { endpoint, folder, keyFile } = keyed;
  const account = createServiceAccount({ tokenUri: endpoint.url, clientEmail });
  endpoint.register(account);
  await account.writeTo(join(folder, "next.json"));
  await rename(join(folder, "next.json"), keyFile);
  server.reload();
}

describe("a change of the account, whose second token Google refuses with 429", () => {
  const tooMany = { kind: "status", status: 429, headers: { "retry-after": "13" } } as const;

  it("takes effect once every configured audience has a new token, and not before", async () => {
    await using server = await start();
    keyed.endpoint.setFault(tooMany, Infinity, ({ account, audience }) => {
      return account === NEW && audience === B;
    });
    await changeTo(NEW, server);
    await server.lines.line((line) => refused(line) || rotated(line));
    expect(await accountsOf(server)).toEqual([OLD, OLD]);
    const tried = server.exchanges();
    // In small steps, so that no poll of the file is taken for one that hangs.
    for (let passedMs = 0; passedMs < 12_500; passedMs += 500) {
      server.clock.advance(500);
      expect(await accountsOf(server)).toEqual([OLD, OLD]);
    }
    expect(server.exchanges(), "Retry-After is honoured").toBe(tried);
    keyed.endpoint.setFault(undefined);
    const before = server.exchanges();
    server.clock.advance(500);
    await server.lines.line(rotated);
    expect(await accountsOf(server)).toEqual([NEW, NEW]);
    expect(server.exchanges() - before, "only the missing token was minted").toBe(1);
  });

  it("is superseded if the file changes again, and the newest account is used", async () => {
    await using server = await start();
    keyed.endpoint.setFault(tooMany, Infinity, ({ account, audience }) => {
      return account === NEW && audience === B;
    });
    await changeTo(NEW, server);
    await server.lines.line((line) => refused(line) || rotated(line));
    await changeTo(NEWEST, server);
    expect(await server.lines.line(rotated)).toMatchObject({ principal: NEWEST });
    expect(await accountsOf(server)).toEqual([NEWEST, NEWEST]);
    server.clock.advance(60_000);
    expect(await accountsOf(server)).toEqual([NEWEST, NEWEST]);
  });
});
