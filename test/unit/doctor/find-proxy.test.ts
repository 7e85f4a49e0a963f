import { createServer, setGlobalProxyFromEnv } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckFailure } from "../../../src/doctor/checklist.ts";
import { findProxy } from "../../../src/doctor/find-proxy.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const url = new URL("https://oauth2.googleapis.com/token");

describe("findProxy", () => {
  it.each([
    [{ HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://q:1" }, "HTTPS_PROXY"],
    [{ HTTPS_PROXY: "http://p:1", https_proxy: "http://q:1" }, "https_proxy"],
    [{ HTTPS_PROXY: "", HTTP_PROXY: "http://q:1" }, "HTTP_PROXY"],
    [{ ALL_PROXY: "http://p:1" }, undefined],
    [{ HTTPS_PROXY: "http://p:1", NO_PROXY: "googleapis.com" }, undefined],
    [{ HTTPS_PROXY: "http://p:1", NO_PROXY: "googleapis.com:8443" }, "HTTPS_PROXY"],
    [{ HTTPS_PROXY: "http://p:1", NO_PROXY: "googleapis.com:443" }, undefined],
  ])("picks from %j", (env, variable) => {
    expect(findProxy(url, env)?.variable).toBe(variable);
  });

  it.each(["proxy.example:3128", "socks5://p:1", "p", "http://u:%ff@p:1"])(
    "refuses %s without showing it",
    (value) => {
      const env = { HTTPS_PROXY: value };
      expect(() => findProxy(url, env)).toThrow(CheckFailure);
      expect(() => findProxy(url, env)).toThrow(/^HTTPS_PROXY must be the URL of a proxy, as in /);
    },
  );
});

describe("NO_PROXY", () => {
  const proxied: string[] = [];
  const server = createServer((request, response) => {
    proxied.push(request.url ?? "");
    response.end();
  });
  let port = 0;
  beforeAll(async () => {
    port = await listenOnLoopback(server);
  });
  afterAll(() => void server.close());

  // Nothing listens at these addresses: a direct connection fails immediately.
  const hosts = ["127.0.0.2:44", "[::1]:44", "a.invalid", "b.a.invalid:8080", "ba.invalid"];
  const lists = [
    "*",
    "*,x",
    "a.invalid",
    ".a.invalid",
    "*.a.invalid",
    "A.INVALID.",
    "x a.invalid:80,y",
    "a.invalid:8080",
    "127.0.0.2",
    "127.0.0.2:44",
    "127.0.0.2:2",
    "::1",
    "[::1]",
    "[::1]:44",
    "[::1]:2",
    ",",
  ];

  it.each(lists)("%j exempts the same hosts as fetch does", async (list) => {
    const env = { HTTP_PROXY: `http://127.0.0.1:${port}`, NO_PROXY: list };
    const restore = setGlobalProxyFromEnv(env);
    try {
      for (const host of hosts) {
        const target = new URL(`http://${host}/`);
        proxied.length = 0;
        await fetch(target).catch(() => {});
        expect([host, findProxy(target, env) !== undefined]).toEqual([host, proxied.length > 0]);
      }
    } finally {
      restore();
    }
  });
});
