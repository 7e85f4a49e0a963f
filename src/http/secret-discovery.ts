import { createHash } from "node:crypto";
import type { MintCode, RefusalCode } from "../system/errors.ts";
import type { IdToken } from "../tokens/id-token.ts";

/** The result for one requested secret. */
export type NamedSecret =
  | { readonly name: string; readonly token: IdToken }
  | { readonly name: string; readonly refused: RefusalCode }
  | { readonly name: string; readonly failed: MintCode };

/** Envoy requests one secret at a time; each may cost a mint. */
const MAX_NAMES = 100;
const SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/** `google.rpc.Code`. */
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;

/** A request for secrets is invalid; the message is the rule that it breaks. */
export class InvalidDiscoveryRequest extends Error {
  override readonly name = "InvalidDiscoveryRequest";
}

/**
 * Reads the names in a `DiscoveryRequest` of Envoy's `envoy.service.discovery.v3`, as JSON,
 * without duplicates. Throws InvalidDiscoveryRequest.
 */
export function parseDiscoveryRequest(body: string): readonly string[] {
  const { type_url: type = SECRET_TYPE, resource_names: names } = parseFields(body);
  if (type !== SECRET_TYPE) throw new InvalidDiscoveryRequest(`type_url must be ${SECRET_TYPE}`);
  const isList = Array.isArray(names) && names.length > 0 && names.length <= MAX_NAMES;
  if (!isList || !names.every((name) => typeof name === "string")) {
    throw new InvalidDiscoveryRequest(`resource_names must be a list of 1 to ${MAX_NAMES} names`);
  }
  return [...new Set(names)];
}

function parseFields(body: string): Readonly<Record<string, unknown>> {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    // The parser's own message would quote the request.
  }
  if (typeof fields !== "object" || fields === null) {
    throw new InvalidDiscoveryRequest("the request must be a JSON object");
  }
  return fields as Record<string, unknown>;
}

/**
 * The reason to fail the whole request: no secret is available, and not because all were denied.
 * Envoy then keeps its old secrets or, when starting, waits.
 */
export function findOutage(secrets: readonly NamedSecret[]): MintCode | undefined {
  if (secrets.some((each) => "token" in each)) return undefined;
  return secrets.find((each) => "failed" in each)?.failed;
}

/**
 * The `DiscoveryResponse` with every available secret, each the token header's whole value. The
 * others are named in `resource_errors`, so that Envoy logs which ones are missing and keeps their
 * old values; for a failed request it would only log the failure.
 */
export function discoveryResponse(secrets: readonly NamedSecret[]) {
  const found = secrets.filter((each) => "token" in each);
  const errors = secrets.flatMap((each) => {
    if ("refused" in each) return [resourceError(each.name, PERMISSION_DENIED, each.refused)];
    return "failed" in each ? [resourceError(each.name, UNAVAILABLE, each.failed)] : [];
  });
  return {
    version_info: versionOf(found.map(({ token }) => token)),
    type_url: SECRET_TYPE,
    resources: found.map(({ name, token }) => ({
      "@type": SECRET_TYPE,
      name,
      generic_secret: { secret: { inline_string: token.header } },
    })),
    ...(errors.length > 0 && { resource_errors: errors }),
  };
}

function resourceError(name: string, code: number, message: string) {
  return { resource_name: { name }, error_detail: { code, message } };
}

/** Changes with the tokens, and reveals nothing of them: Envoy's admin endpoint shows it. */
function versionOf(tokens: readonly IdToken[]): string {
  const headers = tokens.map(({ header }) => header).sort();
  return createHash("sha256").update(headers.join("\n")).digest("base64url").slice(0, 22);
}
