import { setGlobalProxyFromEnv } from "node:http";
import { UsageError } from "./errors.ts";

const VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
/** What such a variable must be. Its value may hold a password, and is not shown. */
export const PROXY_RULE = "is not the http:// or https:// URL of a proxy";

/** The URL of a proxy, its credentials decodable; undefined for what is none. */
export function parseProxyUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) return undefined;
  try {
    decodeURIComponent(url.username + url.password);
    return url;
  } catch {
    return undefined;
  }
}

/**
 * Sends this process's requests through the proxies that the environment names, as other programs'
 * requests go. Throws a UsageError that names each variable that is no proxy's URL.
 */
export function useProxies(env: NodeJS.ProcessEnv): void {
  const faults = VARIABLES.filter((name) => {
    const value = env[name] ?? "";
    return value !== "" && parseProxyUrl(value) === undefined;
  }).map((name) => `${name} ${PROXY_RULE}`);
  if (faults.length > 0) throw new UsageError(faults);
  setGlobalProxyFromEnv(env);
}
