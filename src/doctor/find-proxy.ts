import { parseProxyUrl, PROXY_RULE } from "../system/proxy.ts";
import { CheckFailure } from "./checklist.ts";

/** A proxy and the environment variable that names it. */
export interface NamedProxy {
  readonly variable: string;
  readonly url: URL;
  /** The credentials in its URL as a Proxy-Authorization value (RFC 7617). */
  readonly authorization: string | undefined;
}

/**
 * The proxy through which `fetch` reaches a URL, by the rules of Node's `setGlobalProxyFromEnv`,
 * which applies to mints: lower case wins over upper case, HTTPS falls back to HTTP_PROXY, and
 * NO_PROXY names hosts that are reached directly, with their subdomains. Throws a CheckFailure if
 * a variable is not the URL of a proxy.
 */
export function findProxy(url: URL, env: NodeJS.ProcessEnv): NamedProxy | undefined {
  const forHttp = parseProxy(["http_proxy", "HTTP_PROXY"], env);
  const forHttps = parseProxy(["https_proxy", "HTTPS_PROXY"], env) ?? forHttp;
  const proxy = url.protocol === "https:" ? forHttps : forHttp;
  return isExempt(url, env["no_proxy"] || env["NO_PROXY"] || "") ? undefined : proxy;
}

function parseProxy(variables: readonly string[], env: NodeJS.ProcessEnv): NamedProxy | undefined {
  const variable = variables.find((name) => (env[name] ?? "") !== "");
  if (variable === undefined) return undefined;
  const url = parseProxyUrl(env[variable] ?? "");
  if (url === undefined) {
    const remedy = "correct or unset it";
    throw new CheckFailure(`${variable} ${PROXY_RULE}`, remedy);
  }
  const credentials = decodeURIComponent([url.username, url.password].join(":"));
  const basic = `Basic ${Buffer.from(credentials).toString("base64")}`;
  return { variable, url, authorization: url.username === "" ? undefined : basic };
}

function isExempt(url: URL, noProxy: string): boolean {
  if (noProxy === "*") return true;
  const host = hostOf(url).toLowerCase().replace(/\.$/, "");
  return noProxy.split(/[,\s]/).some((entry) => {
    const [, ipv6, ipv6Port] = /^\[(.+)\](?::(\d+))?$/.exec(entry) ?? [];
    const [, name, namePort] = /^([^:]+):(\d+)$/.exec(entry) ?? [];
    const exempt = (ipv6 ?? name ?? entry)
      .toLowerCase()
      .replace(/^\*?\./, "")
      .replace(/\.$/, "");
    const port = Number(ipv6Port ?? namePort ?? portOf(url));
    return (
      port === portOf(url) && exempt !== "" && (host === exempt || host.endsWith(`.${exempt}`))
    );
  });
}

/** A URL's host for a socket: an IPv6 address without its brackets. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.+)\]$/, "$1");
}

/** A URL's port, or its scheme's default. */
export function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
