import { afterEach, describe, expect, it } from "vitest";
import { setGlobalProxyFromEnv } from "node:http";
import { UsageError } from "../../../src/system/errors.ts";
import { parseProxyUrl, useProxies } from "../../../src/system/proxy.ts";

describe("parseProxyUrl", () => {
  it.each([
    "http://proxy:3128",
    "https://proxy.example:3128/",
    "http://user:p%23ss@proxy:3128",
    "http://[::1]:3128",
    "HTTP://PROXY",
  ])("takes %s", (text) => {
    expect(parseProxyUrl(text)?.host).toBe(URL.parse(text)?.host);
  });

  it.each([
    "proxy:3128",
    "socks5://proxy:1080",
    "http://",
    "http://us#er:password@proxy:3128",
    "http://user:pass#word@proxy:3128",
    String.raw`http://us\er:password@proxy:3128`,
    "http://user:100%@proxy:3128",
    "http://user:pa%zz@proxy:3128",
    "http://proxy:3128/path",
    "http://proxy:3128?query",
    "http://proxy:99999",
    "http://%zz:3128",
  ])("refuses %s", (text) => {
    expect(parseProxyUrl(text)).toBeUndefined();
  });
});

describe("useProxies", () => {
  afterEach(() => {
    setGlobalProxyFromEnv({})();
  });

  it("passes on to Node.js what it takes itself", () => {
    for (const url of ["http://proxy:3128", "http://user:p%23ss@proxy:3128", "http://[::1]:1"]) {
      expect(() => useProxies({ https_proxy: url })).not.toThrow();
    }
  });

  it("names each variable that is no proxy's URL, and shows no value", () => {
    const env = {
      HTTPS_PROXY: "http://user:secret#1@proxy:1",
      http_proxy: "proxy:1",
      NO_PROXY: "",
    };
    expect(() => useProxies(env)).toThrow(UsageError);
    expect(() => useProxies(env)).toThrow(/^http_proxy must be .*\nHTTPS_PROXY must be /);
    expect(() => useProxies(env)).not.toThrow(/secret|proxy:1/);
  });
});
