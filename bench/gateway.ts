import { parse, stringify } from "yaml";
import { renderConfig, startEnvoy, startEnvoyOn } from "../test/support/envoy-process.ts";
import { startBareServer } from "./bare-server.ts";
import { startFrontEnd } from "./front-end.ts";
import { compare, type Line } from "./line.ts";
import { loadRequests } from "./loads.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 7;

/** Compares the gateways with one whose token is a static header. */
export async function benchGateway(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  const { flags, authServer } = parts.use(await startFrontEnd());
  const check = await fetch(authServer.url);
  const header = check.headers.get("authorization") ?? "";
  const bare = parts.use(await startBareServer("node:http", header.length));
  const fixed = withStaticHeader(await renderConfig("gateway-push", flags), header);
  const envoys = {
    push: parts.use(await startEnvoy("gateway-push", flags)),
    fixed: parts.use(await startEnvoyOn(fixed, "static header")),
    check: parts.use(await startEnvoy("gateway", flags)),
    bare: parts.use(await startEnvoy("gateway", [...flags, `--authz=${bare.address}`])),
  };
  const rate = async (of: keyof typeof envoys) =>
    (await loadRequests(`http://127.0.0.1:${envoys[of].port("http")}/`)).perSecond;
  const rates = await interleave(
    {
      push: () => rate("push"),
      fixed: () => rate("fixed"),
      check: () => rate("check"),
      bare: () => rate("bare"),
    },
    { rounds: ROUNDS, onStep },
  );
  const unit = "requests/s";
  return [
    compare("gateway against a static header, requests/s", rates.check, rates.fixed, { unit }),
    compare(
      "gateway against itself with bare node:http as auth server, requests/s",
      rates.check,
      rates.bare,
      { unit, goal: { atLeast: 0.9 } },
    ),
    compare("gateway-push against a static header, requests/s", rates.push, rates.fixed, {
      unit,
      goal: { atLeast: 0.9 },
    }),
    compare("gateway-push against gateway, requests/s", rates.push, rates.check, {
      unit,
      goal: { atLeast: 1.5 },
    }),
  ];
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
