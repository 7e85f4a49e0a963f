import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { API_AUDIENCE, API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

describe("gateway", () => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;
  const seen: IncomingHttpHeaders[] = [];

  beforeAll(async () => {
    const container = parts.use(
      await startHttpService({
        request: (request, response) => {
          seen.push(request.headers);
          if (request.url === "/redirect") {
            response.writeHead(302, { location: `https://${API_HOST}/next?a=b#c` });
          }
          response.end(`hello ${request.method} ${request.url}`);
        },
      }),
    );
    gateway = parts.use(await startGateway({ container }));
  });
  afterAll(() => parts.disposeAsync());

  it("carries a request to a private service with a token for its URL", async () => {
    const response = await fetch(`${gateway.url}/a%2Fb/../c?d=e`);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("hello GET /c?d=e");
    const last = gateway.google.cloudRun.requests.at(-1);
    expect(last?.identity?.audience).toBe(API_AUDIENCE);
    expect(seen.at(-1)?.host).toBe(API_HOST);
  });

  it("keeps redirects to the service's own host on the local address", async () => {
    const response = await fetch(`${gateway.url}/redirect`, { redirect: "manual" });
    expect(response.headers.get("location")).toBe(`${gateway.url}/next?a=b#c`);
  });
});
