import { BlockList, isIP } from "node:net";
import { isLoopback } from "../system/address.ts";
import { UsageError } from "../system/errors.ts";
import { quote } from "../system/show.ts";
import type { Fields } from "./fields.ts";

/** A rule for a kind of URL. */
interface UrlRule {
  /** The rule in words, after "must be". */
  readonly words: string;
  readonly allows: (url: URL) => boolean;
}

/** Receives assertions, which only their audience can use. */
const TOKEN_ENDPOINT: UrlRule = {
  words: "https, or http to a loopback host",
  allows: ({ protocol, hostname }) =>
    protocol === "https:" || (protocol === "http:" && isLoopback(hostname)),
};

/** Receives bearer tokens and refresh tokens, which anyone can use. */
const GOOGLE_API: UrlRule = {
  words: "https on a googleapis.com host, or a loopback host",
  allows: ({ protocol, hostname }) =>
    (protocol === "https:" && hostname.endsWith(".googleapis.com")) ||
    (/^https?:$/.test(protocol) && isLoopback(hostname)),
};

/** Replaces the address on Compute Engine. */
const METADATA_SERVER: UrlRule = {
  words: "HOST or HOST:PORT",
  allows: ({ pathname, search, hash }) => pathname === "/" && search === "" && hash === "",
};

/** Issues subject tokens. */
const IDENTITY_PROVIDER: UrlRule = {
  words: "https, or http to a loopback or link-local metadata address",
  allows: ({ protocol, hostname }) =>
    protocol === "https:" ||
    (protocol === "http:" && (isLoopback(hostname) || isMetadataAddress(hostname))),
};

/** Link-local addresses (RFC 3927, RFC 4291), and the IPv6 address on EC2. */
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
 * Parses a URL and checks it against a rule; `name` is its name in messages. Throws a UsageError that
 * shows neither credentials nor query nor fragment.
 */
export function parseUrl(value: unknown, name: string, rule: keyof typeof RULES): URL {
  const url = typeof value === "string" ? URL.parse(value) : null;
  const { words, allows } = RULES[rule];
  if (url !== null && allows(url) && url.username === "" && url.password === "") return url;
  const shown = url === null ? "not a URL" : quote(`${url.protocol}//${url.host}${url.pathname}`);
  throw new UsageError([`${name}, ${shown}, must be ${words}`]);
}

/** Parses a field that is a URL; undefined if it is missing. Throws like `parseUrl`. */
export function urlField(fields: Fields, name: string, rule: keyof typeof RULES): URL | undefined {
  const value = fields.values[name] ?? undefined;
  return value === undefined
    ? undefined
    : parseUrl(value, `${fields.path}: its ${fields.prefix}${name}`, rule);
}
