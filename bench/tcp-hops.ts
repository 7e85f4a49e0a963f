import { parse, stringify } from "yaml";
import { findFreePort } from "../test/support/loopback.ts";

/**
 * Changes a config so that loopback TCP ports connect its layers instead of internal listeners, as
 * in tunnels from before Envoy had those.
 */
export async function onTcpHops(config: string): Promise<string> {
  const bootstrap = parse(config) as Bootstrap;
  const { listeners, clusters } = bootstrap.static_resources;
  const addresses = new Map<string, SocketAddress>();
  for (const listener of listeners) {
    if (listener.internal_listener === undefined) continue;
    delete listener.internal_listener;
    listener.address = {
      socket_address: { address: "127.0.0.1", port_value: await findFreePort() },
    };
    addresses.set(listener.name, listener.address);
  }
  const endpoints = clusters.flatMap(
    ({
      load_assignment: {
        endpoints: [group],
      },
    }) => group.lb_endpoints,
  );
  for (const { endpoint } of endpoints) {
    const hop = endpoint.address.envoy_internal_address?.server_listener_name;
    if (hop !== undefined) endpoint.address = { ...addresses.get(hop) };
  }
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}

interface SocketAddress {
  readonly socket_address: { readonly address: string; readonly port_value: number };
}

/** The parts of a config that are changed here. */
interface Bootstrap {
  readonly static_resources: {
    readonly listeners: readonly {
      readonly name: string;
      internal_listener?: unknown;
      address?: SocketAddress;
    }[];
    readonly clusters: readonly {
      readonly load_assignment: {
        readonly endpoints: readonly [
          {
            readonly lb_endpoints: readonly {
              readonly endpoint: {
                address: Partial<SocketAddress> & {
                  readonly envoy_internal_address?: { readonly server_listener_name: string };
                };
              };
            }[];
          },
        ];
      };
    }[];
  };
}
