import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";

interface Named {
  readonly name: string;
  readonly [key: string]: unknown;
}

interface Bootstrap {
  readonly static_resources: { readonly listeners: Named[]; readonly clusters: Named[] };
}

async function read(name: string): Promise<Bootstrap> {
  const path = join(import.meta.dirname, `../../../envoy/${name}.yaml`);
  return parse(await readFile(path, "utf8")) as Bootstrap;
}

/** The same, however deep, without what is left out at any depth. */
function without(node: unknown, ...keys: readonly string[]): unknown {
  if (Array.isArray(node)) return node.map((each) => without(each, ...keys));
  if (typeof node !== "object" || node === null) return node;
  const kept = Object.entries(node).filter(([key]) => !keys.includes(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, without(value, ...keys)]));
}

const named = (list: readonly Named[], name: string) => list.find((each) => each.name === name);

/** The names and settings of a gateway's filters but those that see to the token. */
function otherFilters(config: Bootstrap): readonly unknown[] {
  const text = JSON.stringify(config.static_resources.listeners);
  const filters: Named[] = [];
  JSON.parse(text, (key, value: unknown) => {
    if (key === "http_filters") filters.push(...(value as Named[]));
    return value;
  });
  return filters.filter(({ name }) => name !== "token" && name !== "envoy.filters.http.ext_authz");
}

describe("gateway-push", () => {
  it("is gateway but for the token", async () => {
    const [check, push] = [await read("gateway"), await read("gateway-push")];
    expect(otherFilters(push)).toEqual(otherFilters(check));
    // What is about the token, or about what became of it.
    const filters = ["http_filters", "access_log", "local_reply_config"];
    const routes = ["id_token", "typed_per_filter_config", "request_headers_to_remove"];
    const [ofCheck, ofPush] = [check, push].map(
      ({ static_resources: { listeners, clusters } }) => ({
        listeners: without(listeners, ...filters, ...routes),
        clusters: clusters.filter(({ name }) => name !== "authz"),
      }),
    );
    expect(ofPush).toEqual(ofCheck);
  });
});

describe("tunnel-client-push", () => {
  it("is tunnel-client but for the token and the hop that gave it", async () => {
    const [check, push] = [await read("tunnel-client"), await read("tunnel-client-push")];
    const [ofCheck, ofPush] = [check, push].map(({ static_resources: { listeners, clusters } }) => [
      named(listeners, "tcp"),
      named(clusters, "mtls"),
      without(named(clusters, "service"), "http_filters"),
    ]);
    expect(ofPush).toEqual(ofCheck);
  });
});

describe("both", () => {
  it("send the auth server what the others send", async () => {
    for (const name of ["gateway", "tunnel-client"]) {
      const [check, push] = [await read(name), await read(`${name}-push`)];
      const [ofCheck, ofPush] = [check, push].map(({ static_resources: { clusters } }) =>
        // Checks are retried, many at a time.
        without(named(clusters, "authz"), "circuit_breakers"),
      );
      expect(ofPush).toEqual(ofCheck);
    }
  });
});
