import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { startHttpService } from "../support/http-service.ts";
import { findFreePort } from "../support/loopback.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { startEnvoyGateway, type EnvoyGatewayOptions } from "./envoy-gateway.ts";

const SERVICES = ["api", "billing"].map((name) => `${name}-abc123-ew.a.run.app`);
const AUDIENCES = SERVICES.map((host) => `https://${host}`);

const parts = new AsyncDisposableStack();
let google: Google;
let authServer: ServerProcess;

beforeAll(async () => {
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const services = SERVICES.map((host) => ({ host, audiences: [`https://${host}`], ...container }));
  google = parts.use(await startGoogle({ services }));
  authServer = parts.use(
    await startServer([`--credentials=${google.keyFile}`, `--audience=${AUDIENCES.join(",")}`]),
  );
});
afterAll(() => parts.disposeAsync());

const start = async (policy: EnvoyGatewayOptions["policy"], authServerPort?: number) =>
  startEnvoyGateway({
    policy,
    authServerPort: authServerPort ?? Number(new URL(authServer.url).port),
    cloudRunPort: google.cloudRun.port,
    ca: await readFile(google.caFile, "utf8"),
  });

/** Sends a request for a host to the gateway; returns the body and the audience of its token. */
async function send(port: number, host: string) {
  const url = `http://127.0.0.1:${port}/`;
  const body = await runCommand("curl", ["-sS", "-H", `Host: ${host}`, url]);
  return { body, audience: google.cloudRun.requests.at(-1)?.identity?.audience };
}

describe("Envoy Gateway with the files of deploy/envoy-gateway", () => {
  it("sends a token for the default audience by HTTP checks", async () => {
    await using gateway = await start("security-policy.yaml");
    const [audience] = AUDIENCES;
    expect(await send(gateway.port, "api.example.com")).toEqual({ body: "hello", audience });
  });

  it("sends a token for each route's own audience by gRPC checks", async () => {
    await using gateway = await start("security-policy-grpc.yaml");
    const [api, billing] = AUDIENCES;
    expect(await send(gateway.port, "api.example.com")).toEqual({ body: "hello", audience: api });
    expect(await send(gateway.port, "billing.example.com")).toEqual({
      body: "hello",
      audience: billing,
    });
  });

  it.each(["security-policy.yaml", "security-policy-grpc.yaml"] as const)(
    "answers 503 and sends nothing to Cloud Run without an auth server: %s",
    async (policy) => {
      await using gateway = await start(policy, await findFreePort());
      const before = google.cloudRun.requests.length;
      const flags = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: api.example.com"];
      const url = `http://127.0.0.1:${gateway.port}/`;
      expect(await runCommand("curl", [...flags, url])).toBe("503");
      expect(google.cloudRun.requests).toHaveLength(before);
    },
  );
});
