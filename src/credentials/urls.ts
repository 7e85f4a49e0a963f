import { BlockList, isIP } from "node:net";
import { isLoopback } from "../system/address.ts";
import { UsageError } from "../system/errors.ts";
import type { Fields } from "./fields.ts";

/** A rule on where a URL may lead, and its words. */
interface UrlRule {
  readonly words: string;
  readonly allows: (url: URL) => boolean;
}

/** What receives assertions, which only their own audience can use. */
const TOKEN_ENDPOINT: UrlRule = {
  words: "https, or http to a loopback host",
  allows: ({ protocol, hostname }) =>
    protocol === "https:" || (protocol === "http:" && isLoopback(hostname)),
};

/** What receives bearer tokens and refresh tokens, which whoever holds them can use. */
const GOOGLE_API: UrlRule = {
  words: "https on a googleapis.com host, or a loopback host",
  allows: ({ protocol, hostname }) =>
    (protocol === "https:" && hostname.endsWith(".googleapis.com")) ||
    (/^https?:$/.test(protocol) && isLoopback(hostname)),
};

/** The operator's word for Compute Engine's own address. */
const METADATA_SERVER: UrlRule = {
  words: "HOST or HOST:PORT",
  allows: ({ pathname, search, hash }) => pathname === "/" && search === "" && hash === "",
};

/** What hands out subject tokens. */
const IDENTITY_PROVIDER: UrlRule = {
  words: "https, or http to a loopback or link-local metadata address",
  allows: ({ protocol, hostname }) =>
    protocol === "https:" ||
    (protocol === "http:" && (isLoopback(hostname) || isMetadataAddress(hostname))),
};

/** Link-local addresses (RFC 3927; RFC 4291), and the one that EC2 uses for IPv6. */
const METADATA_ADDRESSES = new BlockList();
METADATA_ADDRESSES.addSubnet("169.254.0.0", 16, "ipv4");
METADATA_ADDRESSES.addSubnet("fe80::", 10, "ipv6");
METADATA_ADDRESSES.addAddress("fd00:ec2::254", "ipv6");

function isMetadataAddress(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  const version = isIP(bare);
  return version !== 0 && METADATA_ADDRESSES.check(bare, version === 4 ? "ipv4" : "ipv6");
}

const RULES = {
  tokenEndpoint: TOKEN_ENDPOINT,
  googleApi: GOOGLE_API,
  identityProvider: IDENTITY_PROVIDER,
  metadataServer: METADATA_SERVER,
};

/**
 * Parses a URL under one of the rules; `name` says where it was found. Throws a UsageError that
 * shows no credentials, query or fragment of it.
 */
export function parseUrl(value: unknown, name: string, rule: keyof typeof RULES): URL {
  const url = typeof value === "string" ? URL.parse(value) : null;
  const { words, allows } = RULES[rule];
  if (url !== null && allows(url) && url.username === "" && url.password === "") return url;
  const shown =
    url === null ? "no URL" : JSON.stringify(`${url.protocol}//${url.host}${url.pathname}`);
  throw new UsageError([`${name}, ${shown}, must be ${words}`]);
}

/** The URL of a credential file's field, undefined when it is left out. Throws like `parseUrl`. */
export function urlField(fields: Fields, name: string, rule: keyof typeof RULES): URL | undefined {
  const value = fields.values[name] ?? undefined;
  return value === undefined
    ? undefined
    : parseUrl(value, `${fields.path}: its ${fields.prefix}${name}`, rule);
}
