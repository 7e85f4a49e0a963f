import { METHODS } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAudienceRule } from "../../../src/access/audience.ts";
import { MintError } from "../../../src/system/errors.ts";
import { buildApp } from "../../../src/http/app.ts";
import type { CheckOptions } from "../../../src/http/check.ts";
import type { HealthOptions } from "../../../src/http/health.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
const warm = idToken(A, { wallMs: 0, monotonicMs: 0 });
const unavailable = new MintError("mint_unavailable", "the token endpoint answered 503");

/** An app over answers that the test chooses. */
async function setUp(check: Partial<CheckOptions> = {}, health: Partial<HealthOptions> = {}) {
  const outcomes: string[] = [];
  const faults: unknown[] = [];
  const app = await buildApp({
    check: {
      chooseAudience: createAudienceRule({ configured: [A], allowed: [], fromHost: false }),
      token: () => warm,
      tokenHeader: "authorization",
      checked: (outcome) => outcomes.push(outcome),
      isDraining: () => false,
      ...check,
    },
    health: {
      readiness: () => [{ audience: A, token: warm, error: undefined }],
      isDraining: () => false,
      metrics: { contentType: "text/plain", render: async () => "a 1\n" },
      ...health,
    },
    onFault: (error) => faults.push(error),
  });
  return { app, outcomes, faults };
}

describe("a check", () => {
  it.each(["/check", "/check/", "/check/a/b?c=d", "/", "/livez/", "/Metrics"])(
    "at %s is answered with the token header and an empty body",
    async (url) => {
      const { app, outcomes } = await setUp();
      const response = await app.inject({ method: "GET", url });
      expect(response.statusCode).toBe(200);
      expect(response.headers["authorization"]).toBe(warm.header);
      expect(response.headers["content-length"]).toBe("0");
      expect(response.body).toBe("");
      expect(outcomes).toEqual(["ok"]);
    },
  );

  it("waits for a token that is being minted", async () => {
    const { app, outcomes } = await setUp({ token: async () => warm });
    const response = await app.inject("/check");
    expect(response.headers["authorization"]).toBe(warm.header);
    expect(outcomes).toEqual(["ok"]);
  });

  it("puts the token where it is told to", async () => {
    const { app } = await setUp({ tokenHeader: "x-serverless-authorization" });
    const { headers } = await app.inject("/check");
    expect(headers["x-serverless-authorization"]).toBe(warm.header);
    expect(headers).not.toHaveProperty("authorization");
  });

  it("is refused with 403 and a code for an audience that is not to be had", async () => {
    const { app, outcomes } = await setUp();
    const headers = { "x-id-token-audience": "https://other.run.app" };
    const response = await app.inject({ url: "/check", headers });
    expect(response.statusCode).toBe(403);
    expect(response.json()).toEqual({ error: "audience_not_allowed" });
    expect(response.headers).not.toHaveProperty("authorization");
    expect(outcomes).toEqual(["audience_not_allowed"]);
  });

  it("is refused with 403 and a code without the check secret", async () => {
    const secret = { matches: (given: string | undefined) => given === "open sesame" };
    const { app, outcomes } = await setUp({ secret });
    for (const given of [undefined, "", "open", "open sesame, open sesame"]) {
      const headers = given === undefined ? {} : { "x-authz-secret": given };
      const response = await app.inject({ url: "/check", headers });
      expect(response.statusCode).toBe(403);
      expect(response.json()).toEqual({ error: "check_secret_wrong" });
      expect(response.headers).not.toHaveProperty("authorization");
    }
    const headers = { "x-authz-secret": "open sesame" };
    expect((await app.inject({ url: "/check", headers })).statusCode).toBe(200);
    expect((await app.inject("/readyz")).statusCode).toBe(200);
    expect(outcomes).toEqual([...Array<string>(4).fill("check_secret_wrong"), "ok"]);
  });

  it("is an error, 503 and a code, while there is no token", async () => {
    const { app, outcomes } = await setUp({ token: () => Promise.reject(unavailable) });
    const response = await app.inject("/check");
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({ error: "mint_unavailable" });
    expect(outcomes).toEqual(["mint_unavailable"]);
  });

  it("hides a fault of this program from the client and tells the log", async () => {
    const fault = new TypeError("secret detail");
    const { app, faults } = await setUp({ token: () => Promise.reject(fault) });
    const response = await app.inject("/check");
    expect(response.statusCode).toBe(500);
    expect(response.body).not.toContain("secret");
    expect(faults).toEqual([fault]);
  });
});

describe("health", () => {
  it.each(["/livez", "/readyz", "/healthz", "/readyz?verbose"])("%s is 200", async (url) => {
    const { app } = await setUp();
    const response = await app.inject(url);
    expect(response.statusCode).toBe(200);
    expect(response.headers).not.toHaveProperty("authorization");
  });

  it.each(["/readyz", "/healthz"])("%s names what is missing, and why", async (url) => {
    const { app } = await setUp(
      {},
      { readiness: () => [{ audience: A, token: undefined, error: unavailable }] },
    );
    const response = await app.inject(url);
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({
      status: "not ready",
      missing: [
        { audience: A, error: "mint_unavailable", reason: "the token endpoint answered 503" },
      ],
    });
  });

  it("is not ready from the start of a drain, but lives", async () => {
    const { app } = await setUp({}, { isDraining: () => true });
    expect((await app.inject("/readyz")).statusCode).toBe(503);
    expect((await app.inject("/livez")).statusCode).toBe(200);
  });

  it("serves the metrics", async () => {
    const { app } = await setUp();
    const response = await app.inject("/metrics");
    expect(response.headers["content-type"]).toContain("text/plain");
    expect(response.body).toBe("a 1\n");
  });

  it("comes without any token where checks are left out", async () => {
    const { health, onFault } = { health: (await setUp()).app, onFault: () => {} };
    await health.close();
    const app = await buildApp({
      health: {
        readiness: () => [{ audience: A, token: warm, error: undefined }],
        isDraining: () => false,
        metrics: { contentType: "text/plain", render: async () => "" },
      },
      onFault,
    });
    for (const url of ["/check", "/", "/x"]) {
      expect((await app.inject(url)).statusCode).toBe(404);
    }
    expect((await app.inject("/readyz")).statusCode).toBe(200);
  });
});

describe("requests as Envoy passes them on", () => {
  let port = 0;
  let close = async () => {};

  beforeAll(async () => {
    const { app } = await setUp();
    await app.listen({ host: "127.0.0.1", port: 0 });
    const address = app.server.address();
    port = typeof address === "object" && address !== null ? address.port : 0;
    close = () => app.close();
  });
  afterAll(() => close());

  /** Sends the text as it is and returns the whole answer. */
  function send(head: string, body = ""): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    socket.end(`${head.replaceAll("\n", "\r\n")}\r\n\r\n${body}`);
    return text(socket);
  }

  const close1 = "Host: svc.run.app:443\nConnection: close\ncontent-length: 0";
  it.each([
    ["a path that does not decode", `GET /check/%zz HTTP/1.1\n${close1}`],
    ["a path that climbs", `GET /check/x/../../metrics HTTP/1.1\n${close1}`],
    ["a path of 32 KiB", `GET /check/${"a".repeat(32_768)} HTTP/1.1\n${close1}`],
    [
      "an Authorization of 48 KiB",
      `GET /check HTTP/1.1\n${close1}\nAuthorization: ${"a".repeat(49_152)}`,
    ],
    ["JSON without a body", `POST /check HTTP/1.1\n${close1}\nContent-Type: application/json`],
    ["HTTP/1.0 without a Host", "GET /check HTTP/1.0"],
    ["HTTP/1.1 without a Host", "GET /check HTTP/1.1\nConnection: close"],
    ["a named path with a method of its own", `POST /metrics HTTP/1.1\n${close1}`],
    ["an absolute URL", `GET http://svc.run.app/x HTTP/1.1\n${close1}`],
  ])("%s: a normal answer", async (_what, head) => {
    const answer = await send(head);
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toContain(`authorization: ${warm.header}\r\n`);
  });

  it.each(METHODS.filter((method) => method !== "CONNECT"))(
    "%s: a normal answer",
    async (method) => {
      expect(await send(`${method} /check/x HTTP/1.1\n${close1}`)).toMatch(
        /^HTTP\/1\.1 200 OK\r\n/,
      );
    },
  );

  it.each(["application/json", "nonsense"])(
    "with a body of type %s: a normal answer",
    async (type) => {
      const head = `POST /check HTTP/1.1\nHost: a\nConnection: close\nContent-Type: ${type}`;
      const answer = await send(`${head}\nContent-Length: 5`, "{bad}");
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    },
  );
});
