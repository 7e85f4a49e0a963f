import { decodeJwt, jwtVerify } from "jose";
import type { IncomingHttpHeaders } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { API_AUDIENCE, startGateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const parts = new AsyncDisposableStack();
let container: HttpService;
/** What the container received last. */
let seen: IncomingHttpHeaders = {};

beforeAll(async () => {
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

const OWN = { authorization: "Basic b3duOm93bg==" };
/** As Cloud Run hands a token on to the container. */
const FROM_CLOUD_RUN = /^Bearer .*SIGNATURE_REMOVED_BY_GOOGLE$/;

describe("the token", () => {
  it("takes the place of the client's Authorization", async () => {
    await using gateway = await startGateway({ container });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen.authorization).toMatch(FROM_CLOUD_RUN);
  });

  it("goes beside it as X-Serverless-Authorization", async () => {
    const serveFlags = ["--token-header=x-serverless-authorization"];
    await using gateway = await startGateway({ container, serveFlags });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen).toMatchObject(OWN);
    expect(seen["x-serverless-authorization"]).toMatch(FROM_CLOUD_RUN);
  });

  it("goes beside it as Proxy-Authorization, for IAP and its client ID", async () => {
    const audience = "123456-abc.apps.googleusercontent.com";
    await using gateway = await startGateway({
      // IAP stands before the service; Cloud Run leaves callers alone.
      container: { ...container, public: true },
      serveFlags: ["--token-header=proxy-authorization", `--allow-audience=${audience}`],
      envoyFlags: [`--audience=${audience}`],
    });
    const headers = { ...OWN, "proxy-authorization": "forged" };
    expect((await fetch(gateway.url, { headers })).status).toBe(200);
    expect(seen).toMatchObject(OWN);
    const [, token = ""] = /^Bearer (.*)$/.exec(seen["proxy-authorization"] ?? "") ?? [];
    await jwtVerify(token, gateway.google.endpoint.keys, { audience });
  });
});

describe("the check secret", () => {
  const secret = "correct horse battery staple";

  it("is Envoy's and the auth server's alone, also over a Unix socket", async () => {
    const { path: folder } = parts.use(await makeTemporaryFolder());
    const file = join(folder, "check-secret");
    await writeFile(file, `${secret}\n`);
    const serveFlags = [`--check-secret-file=${file}`, "--listen", `unix:${folder}/authz.sock`];
    vi.stubEnv("CHECK_SECRET", secret);
    await using gateway = await startGateway({ container, serveFlags });
    vi.unstubAllEnvs();

    const headers = { "x-authz-secret": "forged" };
    const response = await fetch(gateway.url, { headers });
    expect(response.status).toBe(200);
    expect(seen.authorization).toMatch(FROM_CLOUD_RUN);
    expect(decodeJwt(seen.authorization ?? "").aud).toBe(API_AUDIENCE);
    const admin = `http://127.0.0.1:${gateway.envoy.adminPort}`;
    const shown = [
      JSON.stringify(seen),
      JSON.stringify([...response.headers]),
      await (await fetch(`${admin}/config_dump`)).text(),
      await (await fetch(`${admin}/stats`)).text(),
      gateway.envoy.logs(),
    ];
    expect(shown.filter((text) => text.includes(secret))).toEqual([]);
    expect(shown.filter((text) => text.includes("forged"))).toEqual([]);
  });

  it.each([
    ["another", "wrong"],
    ["none", undefined],
  ])("cannot be brought by a client: Envoy knows %s", async (_what, known) => {
    const { path: folder } = parts.use(await makeTemporaryFolder());
    const file = join(folder, "check-secret");
    await writeFile(file, secret);
    vi.stubEnv("CHECK_SECRET", known);
    await using gateway = await startGateway({
      container,
      serveFlags: [`--check-secret-file=${file}`],
    });
    vi.unstubAllEnvs();
    const response = await fetch(gateway.url, { headers: { "x-authz-secret": secret } });
    expect(response.status).toBe(403);
    expect(await response.json()).toEqual({ error: "check_secret_wrong" });
    expect(gateway.google.cloudRun.requests).toEqual([]);
  });
});
