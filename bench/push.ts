import { parse, stringify } from "yaml";
import { renderConfig, startEnvoy, startEnvoyOn } from "../test/support/envoy-process.ts";
import { runOrThrow } from "../test/support/server-process.ts";
import { startTcpService } from "../test/support/tcp-service.ts";
import { makeTemporaryFolder } from "../test/support/temporary-folder.ts";
import { startFrontEnd } from "./front-end.ts";
import { echoRate, inTurns, requestRate, tunnelRate } from "./rates.ts";

/** Two ways of one thing, measured turn by turn in one run. */
export interface Ratio {
  readonly what: string;
  readonly ratio: number;
  /** What it must be at least. */
  readonly atLeast: number;
  /** The two figures that it is made of, for people. */
  readonly figures: string;
}

/** What a token by push costs beside a static header and beside a check, and a tunnel so made. */
export async function benchPush(): Promise<readonly Ratio[]> {
  return [...(await benchGateways()), ...(await benchTunnels())];
}

async function benchGateways(): Promise<readonly Ratio[]> {
  await using parts = new AsyncDisposableStack();
  const { flags, authServer } = parts.use(await startFrontEnd());
  const check = await fetch(authServer.url);
  const staticHeader = check.headers.get("authorization") ?? "";
  const config = withStaticHeader(await renderConfig("gateway-push", flags), staticHeader);
  const ports = {
    push: parts.use(await startEnvoy("gateway-push", flags)).port("http"),
    header: parts.use(await startEnvoyOn(config, "static header")).port("http"),
    check: parts.use(await startEnvoy("gateway", flags)).port("http"),
  };
  const rates = await inTurns({
    push: () => requestRate(ports.push),
    header: () => requestRate(ports.header),
    check: () => requestRate(ports.check),
  });
  return [
    ratioOf("gateway-push to a static header, requests/s", 0.9, rates.push, rates.header),
    ratioOf("gateway-push to gateway, requests/s", 1.5, rates.push, rates.check),
  ];
}

async function benchTunnels(): Promise<readonly Ratio[]> {
  await using parts = new AsyncDisposableStack();
  const certs = parts.use(await makeTemporaryFolder());
  await runOrThrow(["certs", certs.path]);
  const certDir = `--cert-dir=${certs.path}`;
  const { port: target } = parts.use(await startTcpService());
  const server = parts.use(
    await startEnvoy("tunnel-server", ["--port=0", `--target=127.0.0.1:${target}`, certDir]),
  );
  const { flags } = parts.use(await startFrontEnd(server.port("http")));
  const push = parts.use(await startEnvoy("tunnel-client-push", [...flags, certDir])).port("tcp");
  const check = parts.use(await startEnvoy("tunnel-client", [...flags, certDir])).port("tcp");
  const bytes = await inTurns({ push: () => echoRate(push), check: () => echoRate(check) });
  const tunnels = await inTurns({ push: () => tunnelRate(push), check: () => tunnelRate(check) });
  const pair = "tunnel-client-push to tunnel-client";
  return [
    ratioOf(`${pair}, echoed MB/s`, 1, bytes.push, bytes.check),
    ratioOf(`${pair}, connections/s`, 1, tunnels.push, tunnels.check),
  ];
}

/** The same config with the token as a header that never changes. */
function withStaticHeader(config: string, value: string): string {
  const bootstrap = parse(config) as { static_resources: { listeners: [Listener] } };
  const manager = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
  manager.http_filters = manager.http_filters.filter(({ name }) => name !== "token");
  for (const { routes } of manager.route_config.virtual_hosts) {
    for (const route of routes) delete route.typed_per_filter_config;
  }
  manager.route_config.request_headers_to_add = [
    { header: { key: "authorization", value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
  ];
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}

/** As much of a listener as is changed here. */
interface Listener {
  readonly filter_chains: readonly [
    {
      readonly filters: readonly [
        {
          readonly typed_config: {
            http_filters: readonly { readonly name: string }[];
            readonly route_config: {
              request_headers_to_add?: readonly unknown[];
              readonly virtual_hosts: readonly {
                readonly routes: readonly { typed_per_filter_config?: unknown }[];
              }[];
            };
          };
        },
      ];
    },
  ];
}

function ratioOf(what: string, atLeast: number, of: number, to: number): Ratio {
  return { what, ratio: of / to, atLeast, figures: `${of.toFixed(0)} to ${to.toFixed(0)}` };
}

if (import.meta.main) {
  const ratios = await benchPush();
  for (const { what, ratio, atLeast, figures } of ratios) {
    const verdict = ratio >= atLeast ? "ok" : "TOO LOW";
    console.log(`${what}: ${ratio.toFixed(2)} (${figures}), at least ${atLeast}: ${verdict}`);
  }
  process.exitCode = ratios.every(({ ratio, atLeast }) => ratio >= atLeast) ? 0 : 1;
}
