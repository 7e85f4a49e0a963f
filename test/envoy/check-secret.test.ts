import type { IncomingHttpHeaders } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";
import { readBanner } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTunnel } from "../support/tunnel.ts";

const SECRET = "correct horse battery staple";
const parts = new AsyncDisposableStack();
let folder = "";
let checkSecret: readonly string[] = [];
let container: HttpService;
/** The headers of the last request that the container received. */
let seen: IncomingHttpHeaders = {};

beforeAll(async () => {
  folder = parts.use(await makeTemporaryFolder()).path;
  const file = join(folder, "check-secret");
  await writeFile(file, `${SECRET}\n`);
  checkSecret = [`--check-secret-file=${file}`];
  container = parts.use(
    await startHttpService({
      request: (request, response) => {
        seen = request.headers;
        response.end("ok");
      },
    }),
  );
});
afterAll(() => parts.disposeAsync());

describe("the check secret", () => {
  it("is visible to nobody but Envoy and the auth server", async () => {
    const serveFlags = [...checkSecret, "--listen", `unix:${folder}/authz.sock`];
    vi.stubEnv("CHECK_SECRET", SECRET);
    await using gateway = await startGateway({ container, serveFlags });
    vi.unstubAllEnvs();

    const headers = { "x-authz-secret": "forged" };
    const response = await fetch(gateway.url, { headers });
    expect(response.status).toBe(200);
    expect(seen.authorization).toMatch(/^Bearer /);
    const admin = `http://127.0.0.1:${gateway.envoy.adminPort}`;
    const shown = [
      JSON.stringify(seen),
      JSON.stringify([...response.headers]),
      await (await fetch(`${admin}/config_dump`)).text(),
      await (await fetch(`${admin}/stats`)).text(),
      gateway.envoy.logs(),
    ];
    expect(shown.filter((text) => text.includes(SECRET))).toEqual([]);
    expect(shown.filter((text) => text.includes("forged"))).toEqual([]);
  });

  it.each([
    ["a wrong secret", "wrong"],
    ["no secret", undefined],
  ])("is not accepted from a client when Envoy has %s", async (_what, configured) => {
    vi.stubEnv("CHECK_SECRET", configured);
    await using gateway = await startGateway({ container, serveFlags: checkSecret });
    vi.unstubAllEnvs();
    const response = await fetch(gateway.url, { headers: { "x-authz-secret": SECRET } });
    expect(response.status).toBe(403);
    expect(await response.json()).toEqual({ error: "check_secret_wrong" });
    expect(gateway.google.cloudRun.requests).toEqual([]);
  });

  it("is sent by the tunnel client, too", async () => {
    vi.stubEnv("CHECK_SECRET", SECRET);
    await using tunnel = await startTunnel({ serveFlags: checkSecret });
    vi.unstubAllEnvs();
    expect(await readBanner(tunnel.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });
});
