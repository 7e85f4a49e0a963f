import { setGlobalProxyFromEnv } from "node:http";
import { UsageError } from "./errors.ts";

let proxied = false;

const VARIABLES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
/** What such a variable must be. Its value may contain a password and is not shown. */
export const PROXY_RULE =
  "must be the URL of a proxy, as in http://proxy.example:3128 or http://USER:PASSWORD@proxy.example:3128, " +
  String.raw`with %23 for #, %25 for % and %5C for \ in user and password`;

/** Parses the URL of a proxy; undefined for anything else. Its user and password can be decoded. */
export function parseProxyUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) return undefined;
  // A # or \ in a password ends the host too early; the rest becomes a fragment or a path.
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return undefined;
  try {
    decodeURIComponent(url.username + url.password);
    return url;
  } catch {
    return undefined;
  }
}

/**
 * Sends this process's requests through the proxies that the environment names. Throws a UsageError
 * that names each variable whose value is not a proxy's URL.
 */
export function useProxies(env: NodeJS.ProcessEnv): void {
  const errors = VARIABLES.filter((name) => {
    const value = env[name] ?? "";
    return value !== "" && parseProxyUrl(value) === undefined;
  }).map((name) => `${name} ${PROXY_RULE}`);
  if (errors.length > 0) throw new UsageError(errors);
  if (VARIABLES.every((name) => (env[name] ?? "") === "")) return;
  setGlobalProxyFromEnv(env);
  proxied = true;
}

/** Whether `useProxies` found a proxy for this process. */
export function isProxied(): boolean {
  return proxied;
}
