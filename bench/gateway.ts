import { availableParallelism } from "node:os";
import { parse, stringify } from "yaml";
import {
  renderConfig,
  startEnvoy,
  startEnvoyOn,
  type EnvoyProcess,
} from "../test/support/envoy-process.ts";
import { checkOverGrpc } from "../test/support/grpc-authz.ts";
import { startUp } from "../test/support/up.ts";
import { startBareServer } from "./bare-server.ts";
import { startFrontEnd } from "./front-end.ts";
import { startGoProxy } from "./go-proxy.ts";
import type { Goal, Line } from "./line.ts";
import { compareLoads, loadRequests, type Target } from "./loads.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;

/** What is compared with what, and the goals for the CPU time and for the requests per second. */
const COMPARISONS: readonly Comparison[] = [
  {
    what: "gateway-push against a static header",
    of: "push",
    to: "fixed",
    cpu: { atMost: 1.06 },
    rate: { atLeast: 0.9 },
  },
  {
    what: "gateway-push against a reverse proxy in Go",
    of: "push",
    to: "go",
    cpu: { atMost: 0.65 },
  },
  {
    what: "gateway-push against gateway",
    of: "push",
    to: "check",
    rate: { atLeast: 1.5 },
  },
  { what: "gateway against a static header", of: "check", to: "fixed" },
  { what: "gateway against a reverse proxy in Go", of: "check", to: "go" },
  {
    what: "gateway against itself with bare node:http as auth server",
    of: "check",
    to: "bare",
    rate: { atLeast: 0.9 },
  },
  { what: "gateway with checks over gRPC against gateway", of: "grpc", to: "check" },
  { what: "gateway-any against gateway", of: "any", to: "check" },
  { what: "up gateway-push against the two programs", of: "upPush", to: "twoPush" },
  { what: "up gateway against the two programs", of: "upCheck", to: "twoCheck" },
];

interface Comparison {
  readonly what: string;
  readonly of: Subject;
  readonly to: Subject;
  readonly cpu?: Goal;
  readonly rate?: Goal;
}

type Subject =
  | "push"
  | "fixed"
  | "go"
  | "check"
  | "grpc"
  | "any"
  | "bare"
  | "upPush"
  | "twoPush"
  | "upCheck"
  | "twoCheck";

/** Compares the gateways with each other, with a static header and with a reverse proxy in Go. */
export async function benchGateway(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  onStep("starting");
  const targets = await startTargets(parts);
  const loads = await interleave(
    {
      push: () => loadRequests(targets.push),
      fixed: () => loadRequests(targets.fixed),
      go: () => loadRequests(targets.go),
      check: () => loadRequests(targets.check),
      grpc: () => loadRequests(targets.grpc),
      any: () => loadRequests(targets.any),
      bare: () => loadRequests(targets.bare),
      upPush: () => loadRequests(targets.upPush),
      twoPush: () => loadRequests(targets.twoPush),
      upCheck: () => loadRequests(targets.upCheck),
      twoCheck: () => loadRequests(targets.twoCheck),
    },
    { rounds: ROUNDS, onStep },
  );
  return COMPARISONS.flatMap(({ what, of, to, cpu, rate }) => [
    ...compareLoads(what, loads[of], loads[to], { cpu, rate }),
  ]);
}

/** Starts everything; the static header's target needs no auth server. */
async function startTargets(
  parts: AsyncDisposableStack,
): Promise<Readonly<Record<Subject, Target>>> {
  const frontEnd = parts.use(await startFrontEnd());
  const { flags, authServer, serviceFlags, serviceUrl, keyFile } = frontEnd;
  const check = await fetch(authServer.url);
  const header = check.headers.get("authorization") ?? "";
  const bare = parts.use(await startBareServer("node:http", header.length));
  const fixed = withStaticHeader(await renderConfig("gateway-push", flags), header);
  const go = parts.use(await startGoProxy(frontEnd));
  const overGrpc = (config: string) =>
    checkOverGrpc(config, { authz: authServer.address, audience: serviceUrl });
  // Its services are named by each request.
  const anyFlags = flags.filter((flag) => !flag.startsWith("--service-url"));
  const headers = { host: new URL(serviceUrl).host };
  const use = (envoy: EnvoyProcess, pids: readonly number[]): Target => ({
    headers,
    url: `http://127.0.0.1:${parts.use(envoy).port("http")}/`,
    pids: [envoy.process.pid ?? 0, ...pids],
  });
  const startWithUp = async (name: string): Promise<Target> => {
    const up = parts.use(await startUp(name, [...serviceFlags, `--credentials=${keyFile}`]));
    return { url: `http://127.0.0.1:${up.port}/`, pids: [up.pid, await up.envoyPid()] };
  };
  // Envoy's default, which `up` leaves, is a worker per core.
  const startPerCore = async (name: string) =>
    startEnvoyOn(await renderConfig(name, flags), name, availableParallelism());
  return {
    push: use(await startEnvoy("gateway-push", flags), [authServer.pid]),
    fixed: use(await startEnvoyOn(fixed, "static header"), []),
    go: { url: go.url, pids: [go.pid] },
    check: use(await startEnvoy("gateway", flags), [authServer.pid]),
    grpc: use(await startEnvoy("gateway", flags, overGrpc), [authServer.pid]),
    any: use(await startEnvoy("gateway-any", anyFlags), [authServer.pid]),
    bare: use(await startEnvoy("gateway", [...flags, `--authz=${bare.address}`]), [bare.pid]),
    upPush: await startWithUp("gateway-push"),
    twoPush: use(await startPerCore("gateway-push"), [authServer.pid]),
    upCheck: await startWithUp("gateway"),
    twoCheck: use(await startPerCore("gateway"), [authServer.pid]),
  };
}

/** Replaces the config's token by a static header. */
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

/** The parts of a listener that are changed here. */
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
