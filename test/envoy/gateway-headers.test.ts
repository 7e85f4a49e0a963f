import { jwtVerify } from "jose";
import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { startHttpService, type HttpService } from "../support/http-service.ts";

const parts = new AsyncDisposableStack();
let container: HttpService;
/** The headers of the last request that the container received. */
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

/** The client's own credentials for the application behind Cloud Run. */
const OWN = { authorization: "Basic b3duOm93bg==" };
/** Cloud Run replaces the token's signature before it passes the request to the container. */
const FROM_CLOUD_RUN = /^Bearer .*SIGNATURE_REMOVED_BY_GOOGLE$/;

describe("the token", () => {
  it("replaces the client's Authorization", async () => {
    await using gateway = await startGateway({ container });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen.authorization).toMatch(FROM_CLOUD_RUN);
  });

  it("travels beside the client's Authorization as X-Serverless-Authorization", async () => {
    const serveFlags = ["--token-header=x-serverless-authorization"];
    await using gateway = await startGateway({ container, serveFlags });
    expect((await fetch(gateway.url, { headers: OWN })).status).toBe(200);
    expect(seen).toMatchObject(OWN);
    expect(seen["x-serverless-authorization"]).toMatch(FROM_CLOUD_RUN);
  });

  it("travels beside the client's Authorization as Proxy-Authorization for IAP", async () => {
    const audience = "123456-abc.apps.googleusercontent.com";
    await using gateway = await startGateway({
      // IAP checks the callers, so the service itself admits everyone.
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
