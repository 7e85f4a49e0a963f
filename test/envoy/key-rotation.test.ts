import { decodeJwt } from "jose";
import { rename, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import type { LogLine } from "../support/server-process.ts";
import { createServiceAccount, type ServiceAccount } from "../support/service-account.ts";

const ACCOUNTS = ["caller", "other"].map((name) => `${name}@test-project.iam.gserviceaccount.com`);
const ROUNDS = 5;

describe("a key file that changes 20 times under load", () => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;
  beforeAll(async () => {
    const container = parts.use(
      await startHttpService({ request: (_request, response) => response.end("hello") }),
    );
    gateway = parts.use(await startGateway({ container }));
  });
  afterAll(() => parts.disposeAsync());

  /** Waits for a matching log line at index `from` or later; returns the log's length. */
  async function waitForLine(from: number, matches: (line: LogLine) => boolean): Promise<number> {
    const { authServer } = gateway;
    await authServer.line((line) => authServer.lines().indexOf(line) >= from && matches(line));
    return authServer.lines().length;
  }

  async function replace(text: string): Promise<void> {
    const { keyFile } = gateway.google;
    await writeFile(`${keyFile}.new`, text);
    await rename(`${keyFile}.new`, keyFile);
  }

  function newKey(clientEmail: string): ServiceAccount {
    const { url: tokenUri, register } = gateway.google.endpoint;
    const key = createServiceAccount({ tokenUri, clientEmail });
    register(key);
    return key;
  }

  /** The account of the token that the auth server hands out now. */
  async function currentAccount(): Promise<unknown> {
    const { headers } = await fetch(`${gateway.authServer.url}/check`);
    return decodeJwt(headers.get("authorization")?.replace("Bearer ", "") ?? "")["email"];
  }

  it("loses no request, is used if it is valid, and is reported and ignored if it is not", async () => {
    const { google, authServer } = gateway;
    const rotated = ({ event }: LogLine) => event === "credential_rotated";
    const rejected = ({ event, level }: LogLine) =>
      event === "credential_rejected" && level === "error";
    const rounds = Array.from({ length: ROUNDS }, (_, round) => {
      const [before = "", after = ""] = round % 2 === 0 ? ACCOUNTS : ACCOUNTS.toReversed();
      const unknown = createServiceAccount({ tokenUri: google.endpoint.url });
      return { before, after, same: newKey(before), unknown, other: newKey(after) };
    });
    const load = startLoad(16, httpAttempt(gateway.url));
    let seen = authServer.lines().length;
    for (const { before, after, same, unknown, other } of rounds) {
      expect(await currentAccount()).toBe(before);
      await replace(JSON.stringify(same.keyFile));
      seen = await waitForLine(seen, rotated);
      // Truncated, as if read while it is being written.
      await replace(JSON.stringify(other.keyFile).slice(0, 1000));
      seen = await waitForLine(seen, rejected);
      // A key that Google does not know.
      await replace(JSON.stringify(unknown.keyFile));
      seen = await waitForLine(seen, rejected);
      expect(await currentAccount()).toBe(before);
      await replace(JSON.stringify(other.keyFile));
      seen = await waitForLine(seen, rotated);
      expect(await currentAccount()).toBe(after);
    }
    await load.more(100);
    expect(await load.stop()).toEqual({ ok: expect.any(Number) });
    expect(google.cloudRun.refused()).toBe(0);
    const metrics = await (await fetch(`${authServer.url}/metrics`)).text();
    const rotations = (outcome: string) =>
      Number(
        metrics
          .split("\n")
          .find((line) => line.includes(`credential_swaps_total{outcome="${outcome}"}`))
          ?.split(" ")
          .at(-1),
      );
    expect([rotations("ok"), rotations("invalid_file")]).toEqual([2 * ROUNDS, ROUNDS]);
    // These are retried after a pause.
    expect(rotations("mint_rejected")).toBeGreaterThanOrEqual(ROUNDS);
  });
});
