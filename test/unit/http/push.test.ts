import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { createAudienceRule } from "../../../src/access/audience.ts";
import { MintError } from "../../../src/system/errors.ts";
import type { PushOptions } from "../../../src/http/push.ts";
import type { TokenRequest } from "../../../src/tokens/account-tokens.ts";
import type { IdToken } from "../../../src/tokens/id-token.ts";
import { buildTestApp } from "../../support/http-app.ts";
import { idToken } from "../../support/tokens.ts";

const A = "https://a.run.app";
const B = "https://b.run.app";
const OTHER = "https://other.example.com";
const TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const PATH = "/v3/discovery:secrets";
const unavailable = new MintError("mint_unavailable", "the token endpoint answered 503");

/** An app over tokens that the test chooses; minting for those in `down` fails. */
async function setUp(configured: readonly string[] = [A, B], secret?: PushOptions["secret"]) {
  const down = new Set<string>();
  let minted = 0;
  const tokens = new Map<string, IdToken>();
  const renew = (audience: string) => {
    const token = idToken(audience, { wallMs: 0, monotonicMs: ++minted });
    tokens.set(audience, token);
    return token;
  };
  const authorize = createAudienceRule({ configured, allowed: [], fromHost: true });
  const token = ({ audience }: TokenRequest) =>
    down.has(audience)
      ? Promise.reject(unavailable)
      : (tokens.get(audience) ?? Promise.resolve(renew(audience)));
  const { app, checks, pushes, errors } = await buildTestApp({
    push: { secret, authorize, token },
  });
  const push = (body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    app.inject({
      method: "POST",
      url: PATH,
      headers: { "content-type": "application/json", ...headers },
      payload: typeof body === "string" ? body : JSON.stringify(body),
    });
  const ask = (...names: readonly string[]) => push({ type_url: TYPE, resource_names: names });
  return { app, push, ask, renew, down, checks, pushes, errors };
}

const resource = (name: string, { header }: IdToken) => ({
  "@type": TYPE,
  name,
  generic_secret: { secret: { inline_string: header } },
});
const resourceError = (name: string, code: number, message: string) => ({
  resource_name: { name },
  error_detail: { code, message },
});

describe("a push", () => {
  it("contains the whole header value under the audience's name", async () => {
    const { ask, renew, pushes } = await setUp();
    const token = renew(B);
    const response = await ask(B);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({
      version_info: expect.stringMatching(/^[\w-]{22}$/),
      type_url: TYPE,
      resources: [resource(B, token)],
    });
    expect(pushes).toEqual(["ok"]);
  });

  it("contains the default audience's token under the name default", async () => {
    const { ask, renew } = await setUp();
    const token = renew(A);
    expect((await ask("default")).json()).toMatchObject({
      resources: [resource("default", token)],
    });
  });

  it("waits for a token that is being minted", async () => {
    const { ask } = await setUp();
    expect((await ask(A)).json()).toMatchObject({ resources: [{ name: A }] });
  });

  it("changes its version when a token changes, and only then", async () => {
    const { ask, renew } = await setUp();
    const version = async (...names: readonly string[]) =>
      (await ask(...names)).json<{ version_info: string }>().version_info;
    renew(A);
    const both = await version(A, B);
    expect(await version(B, A, B)).toBe(both);
    renew(B);
    expect(await version(A, B)).not.toBe(both);
    const alone = await version(A);
    renew(B);
    expect(await version(A)).toBe(alone);
  });

  it("names denied and failed secrets as errors beside the available ones", async () => {
    const { ask, renew, down, pushes } = await setUp();
    const token = renew(A);
    down.add(B);
    const response = await ask(OTHER, A, B);
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      resources: [resource(A, token)],
      resource_errors: [
        resourceError(OTHER, 7, "audience_not_allowed"),
        resourceError(B, 14, "mint_unavailable"),
      ],
    });
    expect(pushes).toEqual(["audience_not_allowed", "ok", "mint_unavailable"]);
  });

  it("is empty when all names are denied, since Envoy logs no names for another status", async () => {
    const { ask } = await setUp([]);
    const response = await ask(OTHER, "default");
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      resources: [],
      resource_errors: [
        resourceError(OTHER, 7, "audience_not_allowed"),
        resourceError("default", 7, "audience_missing"),
      ],
    });
  });

  it("is 503 with a code when no token can be minted", async () => {
    const { ask, down, pushes } = await setUp();
    down.add(A);
    for (const names of [[A], [A, OTHER]]) {
      const response = await ask(...names);
      expect(response.statusCode).toBe(503);
      expect(response.json()).toEqual({ error: "mint_unavailable" });
    }
    expect(pushes).toEqual(["mint_unavailable", "mint_unavailable", "audience_not_allowed"]);
  });
});

describe("a discovery request", () => {
  it("is refused with 403 and a code without the check secret", async () => {
    const secret = { matches: (given: string | undefined) => given === "open sesame" };
    const { push, pushes } = await setUp([A], secret);
    const body = { resource_names: [A] };
    for (const headers of [{}, { "x-authz-secret": "open" }]) {
      const response = await push(body, headers);
      expect(response.statusCode).toBe(403);
      expect(response.json()).toEqual({ error: "check_secret_wrong" });
    }
    expect((await push(body, { "x-authz-secret": "open sesame" })).statusCode).toBe(200);
    expect(pushes).toEqual(["check_secret_wrong", "check_secret_wrong", "ok"]);
  });

  it.each([
    ["an empty body", ""],
    ["a body that is not JSON", "{"],
    ["null", "null"],
    ["a list", "[]"],
    ["no names", { type_url: TYPE }],
    ["an empty list of names", { resource_names: [] }],
    ["names that are not a list", { resource_names: A }],
    ["a name that is not a string", { resource_names: [A, 1] }],
    ["another type", { type_url: "type.googleapis.com/a.B", resource_names: [A] }],
  ])("with %s is refused with 400, a code and the rule", async (_what, body) => {
    const { push, pushes, errors } = await setUp();
    const response = await push(body);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toEqual({
      error: "push_malformed",
      reason: expect.stringContaining("must be"),
    });
    expect(pushes).toEqual(["push_malformed"]);
    expect(errors).toEqual([]);
  });

  it("may contain 100 names and no more", async () => {
    const { push } = await setUp();
    const names = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);
    expect((await push({ resource_names: names(101) })).statusCode).toBe(400);
    expect((await push({ resource_names: names(100) })).statusCode).toBe(200);
  });

  it.each(["application/json; charset=utf-8", "text/plain", "nonsense"])(
    "is read whatever its content type, as %s",
    async (type) => {
      const { push } = await setUp();
      const body = { node: { extensions: "x".repeat(900_000) }, resource_names: [A] };
      expect((await push(body, { "content-type": type })).statusCode).toBe(200);
    },
  );

  it("may have 1 MiB and no byte more", async () => {
    const { push, pushes } = await setUp();
    const body = (bytes: number) => {
      const empty = JSON.stringify({ resource_names: [A], node: "" });
      return JSON.stringify({ resource_names: [A], node: "x".repeat(bytes - empty.length) });
    };
    expect((await push(body(1_048_576))).statusCode).toBe(200);
    const response = await push(body(1_048_577));
    expect(response.statusCode).toBe(413);
    expect(response.json()).toMatchObject({ error: "push_too_large" });
    expect(pushes).toEqual(["ok", "push_too_large"]);
  });

  it("at any other path, or with any other method, is a check", async () => {
    const { app, checks, pushes } = await setUp();
    const method = "POST";
    for (const url of [`${PATH}/`, "/v3/discovery:clusters", "/v3/discovery%3Asecrets"]) {
      expect((await app.inject({ method, url })).headers["authorization"]).toMatch(/^Bearer /);
    }
    expect((await app.inject(PATH)).headers["authorization"]).toMatch(/^Bearer /);
    expect(checks).toHaveLength(4);
    expect(pushes).toEqual([]);
  });

  it("that never ends is refused, and one that is cut off does no harm", async () => {
    const { app, pushes, errors } = await setUp();
    const url = new URL(await app.listen({ host: "127.0.0.1", port: 0 }));
    const open = () => connect(Number(url.port), "127.0.0.1");
    const head = `POST ${PATH} HTTP/1.1\r\nHost: a\r\n`;
    const endless = open();
    endless.write(`${head}Transfer-Encoding: chunked\r\n\r\n200000\r\n`);
    endless.write(Buffer.alloc(0x20_00_00, "x"));
    expect(await text(endless)).toMatch(/^HTTP\/1\.1 413 .*push_too_large/s);
    const broken = open();
    broken.end(`${head}Content-Length: 100\r\n\r\n{"resource_names`);
    await text(broken);
    await app.close();
    expect(errors).toEqual([]);
    expect(pushes.at(0)).toBe("push_too_large");
  });
});
