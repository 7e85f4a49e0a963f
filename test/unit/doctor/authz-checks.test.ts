import { createServer } from "node:http";
import { afterAll, describe, expect, it } from "vitest";
import { checkAuthServer } from "../../../src/doctor/authz-checks.ts";
import { createChecklist } from "../../../src/doctor/checklist.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const server = createServer((request, response) => {
  const { "x-authz-secret": secret, "x-id-token-audience": audience } = request.headers;
  response.writeHead(403).end(JSON.stringify({ error: secret ?? audience ?? request.url }));
});
const port = await listenOnLoopback(server);
afterAll(() => server[Symbol.asyncDispose]());

const common = { authzCertDir: "/none", checkSecretFile: undefined, timeoutMs: 5000 };

async function run(options: Parameters<typeof checkAuthServer>[0]) {
  const checklist = createChecklist(() => {});
  const token = await checkAuthServer(options, checklist);
  expect(token).toBeUndefined();
  return checklist.results.map(({ name, state, message }) => `${name} ${state}: ${message}`);
}

describe("checkAuthServer", () => {
  it("sends the check that an Envoy would send, and judges the answer", async () => {
    const authz = { kind: "tcp", host: "127.0.0.1", port } as const;
    const results = await run({ ...common, authz, audience: "audience_not_allowed" });
    expect(results).toEqual([
      "dns passed: 127.0.0.1 is an IP address",
      `tcp passed: 127.0.0.1:${port} accepts connections`,
      expect.stringContaining("token failed: "),
    ]);
    expect(results.at(-1)).toContain("may not have tokens for audience_not_allowed");
  });

  it("says that a socket is not there", async () => {
    const authz = { kind: "unix", path: "/none/authz.sock" } as const;
    const [socket, token] = await run({ ...common, authz, audience: undefined });
    expect(socket).toMatch(/^socket failed: unix:\/none\/authz\.sock: /);
    expect(token).toBe("token skipped: not checked because socket failed");
  });

  it("checks the way without the certificates, but sends no check then, and closes it", async () => {
    const authz = { kind: "https", host: "localhost", port } as const;
    const results = await run({ ...common, authz, audience: undefined });
    expect(results.map((line) => line.split(":")[0])).toEqual([
      "certs failed",
      "dns passed",
      "tcp passed",
      "tls skipped",
      "token skipped",
    ]);
    await expect.poll(() => connectionsOf()).toBe(0);
  });
});

function connectionsOf(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
