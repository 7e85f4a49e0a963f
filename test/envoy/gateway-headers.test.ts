import { jwtVerify } from "jose";
import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";

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
