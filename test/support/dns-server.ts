import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv4 } from "node:net";
import { parse, stringify } from "yaml";

const TYPE_A = 1;
const TYPE_AAAA = 28;

export interface DnsServer extends AsyncDisposable {
  readonly port: number;
  /** The names that were asked for, each once. */
  readonly names: ReadonlySet<string>;
}

/** Starts a DNS server that knows the same addresses for every name (RFC 1035). */
export async function startDnsServer(addresses: readonly string[]): Promise<DnsServer> {
  const names = new Set<string>();
  const socket = createSocket("udp4", (query, { port }) => {
    const question = query.subarray(12, query.indexOf(0, 12) + 5);
    names.add(readName(question));
    const type = question.readUInt16BE(question.length - 4);
    const answers = addresses
      .filter((address) => type === (isIPv4(address) ? TYPE_A : TYPE_AAAA))
      .map((address) => {
        const bytes = toBytes(address);
        // The question's name, the type, class IN, 60 s to live.
        return Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length, ...bytes]);
      });
    const header = [...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, answers.length, 0, 0, 0, 0];
    socket.send(Buffer.concat([Buffer.from(header), question, ...answers]), port, "127.0.0.1");
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    names,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

function readName(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 0; question[at] !== 0; at += 1 + (question[at] ?? 0)) {
    labels.push(question.toString("latin1", at + 1, at + 1 + (question[at] ?? 0)));
  }
  return labels.join(".").toLowerCase();
}

function toBytes(address: string): readonly number[] {
  if (isIPv4(address)) return address.split(".").map(Number);
  const [, ipv4] = /^::ffff:([\d.]+)$/.exec(address) ?? [];
  if (ipv4 !== undefined) {
    return [...Array.from({ length: 10 }, () => 0), 0xff, 0xff, ...toBytes(ipv4)];
  }
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => text.split(":").filter(Boolean);
  const zeros = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: zeros }, () => "0"), ...groups(tail)];
  return all.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** Makes everything in a config that resolves names ask this DNS server. */
export function withDnsServer(config: string, { port }: Pick<DnsServer, "port">): string {
  const resolver = {
    name: "envoy.network.dns_resolver.cares",
    typed_config: {
      "@type":
        "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
      resolvers: [{ socket_address: { address: "127.0.0.1", port_value: port } }],
      dns_resolver_options: { no_default_search_domain: true },
    },
  };
  const bootstrap: unknown = parse(config, (_key, value: unknown) =>
    typeof value === "object" && value !== null && "dns_lookup_family" in value
      ? { ...value, typed_dns_resolver_config: resolver }
      : value,
  );
  return stringify(bootstrap, { aliasDuplicateObjects: false });
}
