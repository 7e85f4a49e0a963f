import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

/** The Location that the service answers with at each path, and the one that reaches the client. */
const REDIRECTS: readonly (readonly [string, string, (base: string) => string])[] = [
  ["to itself", `https://${API_HOST}/next?a=b#c`, (base) => `${base}/next?a=b#c`],
  ["to its port", `https://${API_HOST.toUpperCase()}:443/next`, (base) => `${base}/next`],
  ["to itself by any scheme", `//${API_HOST}/next`, (base) => `${base}/next`],
  ["to its root", `http://${API_HOST}`, (base) => base],
  ["to itself in odd case", `HTTPS://${API_HOST}/`, (base) => `${base}/`],
  ...[
    ["to a path", "/next"],
    ["to a path with two slashes", "/a//b"],
    ["to another host", `https://other.example.com/?u=https://${API_HOST}/next`],
    ["to a longer name", `https://${API_HOST}.example.com/`],
    ["to a name that ends with it", `https://evil-${API_HOST}/`],
    ["to it as user information", `https://${API_HOST}@other.example.com/`],
    ["nowhere", ""],
  ].map(([what = "", location = ""]) => [what, location, (_base: string) => location] as const),
];

describe.each(["gateway", "gateway-push"] as const)("a redirect through %s", (config) => {
  const parts = new AsyncDisposableStack();
  let gateway: Gateway;

  beforeAll(async () => {
    const container = parts.use(
      await startHttpService({
        request: ({ url = "" }, response) => {
          const [, location = ""] = REDIRECTS[Number(url.slice(1))] ?? [];
          response.writeHead(302, { location }).end();
        },
      }),
    );
    gateway = parts.use(await startGateway({ container, config }));
  });
  afterAll(() => parts.disposeAsync());

  it.each(REDIRECTS.map(([what, , expected], index) => ({ what, expected, index })))(
    "leads to the local address only if it is to the service's own host: $what",
    async ({ expected, index }) => {
      const response = await fetch(`${gateway.url}/${index}`, { redirect: "manual" });
      expect(response.headers.get("location")).toBe(expected(gateway.url));
    },
  );

  it.each([
    ["localhost", "localhost"],
    ["[::1]:9090", "[::1]:9090"],
    ["Api.Internal:80", "Api.Internal:80"],
  ])("leads to the host that the client used: %s", async (host, expected) => {
    const format = ["-o", "/dev/null", "-w", "%{header_json}"];
    const json = await runCommand("curl", [
      "-sS",
      ...format,
      "-H",
      `Host: ${host}`,
      gateway.url + "/0",
    ]);
    expect((JSON.parse(json) as { location: string[] }).location).toEqual([
      `http://${expected}/next?a=b#c`,
    ]);
  });
});
