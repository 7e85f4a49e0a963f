import { credentials, type Client, type ServiceError } from "@grpc/grpc-js";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../support/command.ts";
import { findOlderEnvoy } from "../support/envoy-binary.ts";
import { API_AUDIENCE, API_HOST } from "../support/gateway.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { GrpcClient, startGrpcService, type GrpcService } from "../support/grpc-service.ts";
import { startHttpService, type HttpHandlers, type HttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { installPackage, type InstalledPackage } from "../support/package.ts";
import { readBanner } from "../support/tcp-service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTunnelService, TUNNEL_HOST, type TunnelService } from "../support/tunnel.ts";
import { startUp, type UpOptions, type UpProcess } from "../support/up.ts";

const GRPC_HOST = "grpc-abc123-ew.a.run.app";
const ACCOUNT = "caller@test-project.iam.gserviceaccount.com";

const parts = new AsyncDisposableStack();
let installed: InstalledPackage;
let google: Google;
let tunnel: TunnelService;

beforeAll(async () => {
  installed = parts.use(await installPackage());
  const http: HttpService = parts.use(
    await startHttpService({
      request: (request, response) =>
        response.end(`${request.method} ${request.url} ${request.headers.host}\n`),
    }),
  );
  const grpc: GrpcService = parts.use(await startGrpcService());
  google = parts.use(
    await startGoogle({
      services: [
        { host: API_HOST, audiences: [API_AUDIENCE], ...http },
        { host: GRPC_HOST, audiences: [`https://${GRPC_HOST}`], ...grpc },
      ],
    }),
  );
  tunnel = parts.use(await startTunnelService());
}, 120_000);
afterAll(() => parts.disposeAsync());

/** The program, installed from its package into an empty folder. */
function inEmptyFolder(): UpOptions {
  const { folder, env } = installed;
  return { command: [join(folder, "node_modules/.bin/idtoken-authz")], cwd: folder, env };
}

const gatewayFlags = (host = API_HOST) => [
  `--credentials=${google.keyFile}`,
  ...google.serviceFlags(host),
];
const tunnelFlags = () => [
  `--credentials=${tunnel.google.keyFile}`,
  ...tunnel.google.serviceFlags(TUNNEL_HOST),
  `--cert-dir=${tunnel.certDir}`,
];

const curl = (port: number, path: string) =>
  runCommand("curl", ["-sS", `http://127.0.0.1:${port}${path}`]);

/** A gRPC call; `authority` is the service's host, where the address does not say it. */
async function echo(port: number, text: string, authority?: string): Promise<string | undefined> {
  const client = new GrpcClient(
    `127.0.0.1:${port}`,
    credentials.createInsecure(),
    authority === undefined ? {} : { "grpc.default_authority": authority },
  ) as unknown as Client & {
    readonly Echo: (
      text: string,
      answer: (error: ServiceError | null, text?: string) => void,
    ) => void;
  };
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  client.Echo(text, (error, answer) => (error === null ? resolve(answer) : reject(error)));
  return promise.finally(() => client.close());
}

describe("up, installed from a packed tarball into an empty folder", () => {
  it.each(["gateway", "gateway-push"])(
    "carries requests of curl through %s, and says where, for what service and as whom",
    async (name) => {
      await using up = await startUp(name, gatewayFlags(), inEmptyFolder());
      expect(up.ready).toBe(
        `ready: http://127.0.0.1:${up.port} leads to ${API_AUDIENCE} as ${ACCOUNT}`,
      );
      expect(await curl(up.port, "/hello?a=b")).toBe(`GET /hello?a=b ${API_HOST}\n`);
      const last = google.cloudRun.requests.at(-1);
      expect(last?.identity).toMatchObject({ email: ACCOUNT, audience: API_AUDIENCE });
    },
  );

  it("pushes the token in the header that --token-header names", async () => {
    const flags = [...gatewayFlags(), "--token-header=x-serverless-authorization"];
    await using up = await startUp("gateway-push", flags, inEmptyFolder());
    expect(await curl(up.port, "/")).toContain(API_HOST);
    expect(google.cloudRun.requests.at(-1)?.identity).toMatchObject({ email: ACCOUNT });
  });

  it("carries calls of a gRPC client through gateway", async () => {
    await using up = await startUp("gateway", gatewayFlags(GRPC_HOST), inEmptyFolder());
    expect(await echo(up.port, "hello")).toBe("hello");
  });

  it("carries requests and calls for any allowed service through gateway-any", async () => {
    const [, connectTo = "", serviceCa = ""] = google.serviceFlags(API_HOST);
    const allow = "--allow-audience=https://*.a.run.app";
    const flags = [`--credentials=${google.keyFile}`, connectTo, serviceCa, allow];
    await using up = await startUp("gateway-any", flags, inEmptyFolder());
    const address = `http://127.0.0.1:${up.port}`;
    expect(up.ready).toBe(`ready: ${address} leads to https://*.a.run.app as ${ACCOUNT}`);
    const expected = `GET /hello ${API_HOST}\n`;
    expect(
      await installed.run("curl", ["-sS", "-H", `Host: ${API_HOST}`, `${address}/hello`]),
    ).toBe(expected);
    const proxied = ["-sS", "--proxy", address, "--noproxy", "", `http://${API_HOST}/hello`];
    expect(await installed.run("curl", proxied)).toBe(expected);
    expect(await echo(up.port, "hello", GRPC_HOST)).toBe("hello");
    const status = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: example.com"];
    expect(await installed.run("curl", [...status, address])).toBe("403");
  });

  it("carries TCP connections through tunnel-client-push", async () => {
    await using up = await startUp("tunnel-client-push", tunnelFlags(), inEmptyFolder());
    expect(up.ready).toContain(`ready: 127.0.0.1:${up.port} leads to https://${TUNNEL_HOST} as `);
    expect(await readBanner(up.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });

  it("starts through npx, which passes signals on", async () => {
    const { folder, env } = installed;
    const npx: UpOptions = { command: ["npx", "idtoken-authz"], cwd: folder, env };
    await using up = await startUp("gateway-push", gatewayFlags(), npx);
    expect(await curl(up.port, "/")).toContain(API_HOST);
    up.signal("SIGTERM");
    await up.ended;
    expect(await up.leftovers()).toEqual([]);
  });
});

describe("up", () => {
  /** Starts the installed program with a gateway to a service that answers as `request` does. */
  async function startGatewayTo(
    request: HttpHandlers["request"],
    flags: readonly string[] = [],
  ): Promise<AsyncDisposable & { readonly up: UpProcess; readonly google: Google }> {
    await using started = new AsyncDisposableStack();
    const http = started.use(await startHttpService({ request }));
    const service = { host: API_HOST, audiences: [API_AUDIENCE], ...http };
    const own = started.use(await startGoogle({ services: [service] }));
    const all = [`--credentials=${own.keyFile}`, ...own.serviceFlags(API_HOST), ...flags];
    const up = started.use(await startUp("gateway", all, inEmptyFolder()));
    const moved = started.move();
    return { up, google: own, [Symbol.asyncDispose]: () => moved.disposeAsync() };
  }

  it("restarts Envoy if it is killed under load, and requests succeed again", async () => {
    await using gateway = await startGatewayTo((_request, response) => response.end("ok"));
    const { up } = gateway;
    const attempt = httpAttempt(`http://127.0.0.1:${up.port}/`);
    const under = startLoad(8, attempt);
    await under.more(200);
    process.kill(await up.envoyPid(), "SIGKILL");
    await up.line(({ event }) => event === "envoy_ended");
    await up.line(({ event }) => event === "envoy_restarted");
    await under.stop();
    const after = startLoad(8, attempt);
    await after.more(200);
    const { ok = 0, ...failed } = await after.stop();
    expect(failed).toEqual({});
    expect(ok).toBeGreaterThanOrEqual(200);
    expect(up.ready).toContain(`127.0.0.1:${up.port} `);
  });

  it("leaves no file and no process when it is killed", async () => {
    await using gateway = await startGatewayTo((_request, response) => response.end("ok"));
    const { up } = gateway;
    expect(await up.leftovers()).not.toEqual([]);
    up.signal("SIGKILL");
    expect(await up.ended).toBe("SIGKILL");
    await expect.poll(up.leftovers, { timeout: 10_000 }).toEqual([]);
  });

  it("finishes a download after Ctrl-C, accepts no new connection and leaves nothing", async () => {
    const half = Promise.withResolvers<void>();
    await using gateway = await startGatewayTo((request, response) => {
      if (request.url !== "/download") return response.end();
      response.write("first half, ");
      return void half.promise.then(() => response.end("second half"));
    });
    const { up } = gateway;
    const response = await fetch(`http://127.0.0.1:${up.port}/download`);
    up.signal("SIGINT");
    await up.step("draining");
    const connects = () =>
      curl(up.port, "/").then(
        () => "connected",
        () => "refused",
      );
    await expect.poll(connects).toBe("refused");
    await up.envoyPid();
    half.resolve();
    expect(await response.text()).toBe("first half, second half");
    expect(await up.ended).toBe(0);
    expect(await up.leftovers()).toEqual([]);
  });

  it.each([
    ["the drain timeout", ["--drain-timeout=100ms"], 1, 0],
    ["a second Ctrl-C", [], 2, 1],
  ])("cuts off a download after %s", async (_, flags, interrupts, code) => {
    await using gateway = await startGatewayTo((request, response) => {
      if (request.url === "/download") response.write("first half");
      else response.end();
    }, flags);
    const { up } = gateway;
    const response = await fetch(`http://127.0.0.1:${up.port}/download`);
    for (let sent = 0; sent < interrupts; sent += 1) {
      up.signal("SIGINT");
      await up.step("draining");
    }
    await expect(response.text()).rejects.toBeInstanceOf(TypeError);
    expect(await up.ended).toBe(code);
    await expect.poll(up.leftovers).toEqual([]);
  });

  it("serves health and the metrics of both programs on --admin-listen, but no tokens", async () => {
    await using gateway = await startGatewayTo(
      (_request, response) => response.end(),
      ["--admin-listen=127.0.0.1:0"],
    );
    const { up } = gateway;
    const { adminListen } = await up.line(({ event }) => event === "listening");
    const get = async (path: string) => {
      const response = await fetch(`http://${String(adminListen)}${path}`);
      return { status: response.status, text: await response.text() };
    };
    expect(await get("/livez")).toMatchObject({ status: 200 });
    expect(await get("/readyz")).toEqual({
      status: 200,
      text: '{"status":"ready","envoy":"ready"}',
    });
    const both = await get("/metrics");
    expect(both.text).toMatch(/^idtoken_authz_envoy_up 1$/m);
    expect(both.text).toMatch(/^idtoken_authz_envoy_restarts_total 0$/m);
    expect(both.text).toMatch(/^envoy_server_live\{?.* 1$/m);
    const ofEnvoy = await get("/metrics/envoy");
    expect(ofEnvoy.text).toMatch(/^envoy_server_live\{?.* 1$/m);
    expect(ofEnvoy.text).not.toContain("idtoken_authz");
    expect(await get("/check")).toMatchObject({ status: 404 });

    process.kill(await up.envoyPid(), "SIGKILL");
    await up.line(({ event }) => event === "envoy_ended");
    expect((await get("/metrics")).text).toMatch(/^idtoken_authz_envoy_restarts_total [01]$/m);
    await up.line(({ event }) => event === "envoy_restarted");
    expect(await get("/readyz")).toMatchObject({ status: 200 });
  });

  it("passes the check secret to Envoy, whose checks are then answered", async () => {
    await using folder = await makeTemporaryFolder();
    const file = join(folder.path, "secret");
    await writeFile(file, "only Envoy knows\n");
    await using gateway = await startGatewayTo(
      (_request, response) => response.end("ok"),
      [`--check-secret-file=${file}`],
    );
    expect(await curl(gateway.up.port, "/")).toBe("ok");
  });
});

describe("up on the oldest Envoy", () => {
  it("runs a gateway and says which features are missing", async () => {
    const envoy = await findOlderEnvoy("1.36.4");
    await using up = await startUp("gateway-push", gatewayFlags(), { ...inEmptyFolder(), envoy });
    expect(await up.step("Envoy 1.36 has no tcp_keepalive")).toBeTruthy();
    expect(await curl(up.port, "/hello")).toBe(`GET /hello ${API_HOST}\n`);
  });

  it("runs a tunnel", async () => {
    const envoy = await findOlderEnvoy("1.36.4");
    const options = { ...inEmptyFolder(), envoy };
    await using up = await startUp("tunnel-client", tunnelFlags(), options);
    expect(await readBanner(up.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
  });
});
