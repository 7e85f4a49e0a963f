import type { FastifyInstance, FastifyReply } from "fastify";
import { createHash } from "node:crypto";
import type { AudienceChoice, CheckRequest } from "../audience.ts";
import { readBounded } from "../bounded-body.ts";
import { MintError, type PushCode } from "../errors.ts";
import type { CheckOutcome, PushOutcome } from "../metrics.ts";
import type { IdToken } from "../token.ts";

export interface PushOptions {
  readonly chooseAudience: (request: CheckRequest) => AudienceChoice;
  /** The token for an audience whose asker keeps it until it asks again. Rejects with a MintError. */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /** Told of each secret that was asked for, and of each request that could not be read. */
  readonly pushed: (outcome: PushOutcome) => void;
}

/** Where Envoy asks for secrets (SDS over REST). */
export const PUSH_PATH = "/v3/discovery:secrets";

/** Envoy's requests are about 77 KB: they list its extensions. */
const MAX_REQUEST_BYTES = 1_048_576;
const SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/** The secret by this name is the default audience's token. */
const DEFAULT_NAME = "default";
/** `google.rpc.Code`. */
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;

/** A secret that was asked for by name. */
type Secret = { readonly name: string } & (
  | { readonly token: IdToken }
  | { readonly failed: Exclude<CheckOutcome, "ok"> }
);

/**
 * Answers Envoy's discovery requests for secrets: each name is an audience, or `default`, and its
 * secret is the token header's whole value.
 */
export async function pushPlugin(app: FastifyInstance, options: PushOptions): Promise<void> {
  const { chooseAudience, pushed } = options;

  async function findSecret(name: string): Promise<Secret> {
    const named = name === DEFAULT_NAME ? undefined : name;
    const choice = chooseAudience({ named, host: undefined });
    if ("refused" in choice) return { name, failed: choice.refused };
    try {
      return { name, token: await options.token(choice.audience) };
    } catch (error) {
      if (!(error instanceof MintError)) throw error;
      return { name, failed: error.code };
    }
  }

  function refuse(reply: FastifyReply, status: 400 | 413, code: PushCode, reason: string) {
    pushed(code);
    return reply.code(status).send({ error: code, reason });
  }

  // A colon that is no parameter is written twice.
  app.post(PUSH_PATH.replace(":", "::"), async (request, reply) => {
    // A body that is left unread must not end the connection: there is an answer to send.
    const chunks = request.raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
    const body = await readBounded(chunks, MAX_REQUEST_BYTES).catch(() => "");
    if (body === undefined) {
      reply.header("connection", "close");
      return refuse(reply, 413, "push_too_large", `must be at most ${MAX_REQUEST_BYTES} bytes`);
    }
    const asked = parseNames(body);
    if ("fault" in asked) return refuse(reply, 400, "push_malformed", asked.fault);
    const secrets = await Promise.all(asked.names.map(findSecret));
    for (const secret of secrets) pushed("token" in secret ? "ok" : secret.failed);
    const outage = findOutage(secrets);
    if (outage !== undefined) return reply.code(503).send({ error: outage });
    return reply.send(toDiscoveryResponse(secrets));
  });
}

/** Reads the names out of a `DiscoveryRequest`, each once, or the rule that it breaks. */
function parseNames(body: string): { readonly names: readonly string[] } | { fault: string } {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    return { fault: "must be JSON" };
  }
  if (typeof fields !== "object" || fields === null) return { fault: "must be a JSON object" };
  const { type_url: type = SECRET_TYPE, resource_names: names } = fields as Record<string, unknown>;
  if (type !== SECRET_TYPE) return { fault: `type_url: must be ${SECRET_TYPE}` };
  const isNamed = Array.isArray(names) && names.length > 0;
  if (!isNamed || !names.every((name) => typeof name === "string")) {
    return { fault: "resource_names: must be a list of one or more names" };
  }
  return { names: [...new Set(names)] };
}

/**
 * Why no secret at all can be had now: Envoy asks again and keeps what it has. An answer without
 * secrets would end its wait for the first ones.
 */
function findOutage(secrets: readonly Secret[]): string | undefined {
  if (secrets.some((secret) => "token" in secret)) return undefined;
  const failures = secrets.flatMap((secret) => ("failed" in secret ? [secret.failed] : []));
  return failures.find((code) => !isRefusal(code));
}

/**
 * A `DiscoveryResponse` with every secret that there is. A refused name is left out and told of in
 * `resource_errors`: Envoy keeps what it has and logs which secret is missing, where of any other
 * status it logs no more than that there was one.
 */
function toDiscoveryResponse(secrets: readonly Secret[]) {
  const found = secrets.filter((secret) => "token" in secret);
  const failed = secrets.filter((secret) => "failed" in secret);
  return {
    version_info: versionOf(found),
    type_url: SECRET_TYPE,
    resources: found.map(({ name, token }) => ({
      "@type": SECRET_TYPE,
      name,
      generic_secret: { secret: { inline_string: token.header } },
    })),
    ...(failed.length > 0 && {
      resource_errors: failed.map(({ name, failed: code }) => ({
        resource_name: { name },
        error_detail: {
          code: isRefusal(code) ? PERMISSION_DENIED : UNAVAILABLE,
          message: `${code}: ${name}`,
        },
      })),
    }),
  };
}

function isRefusal(code: CheckOutcome): boolean {
  return code === "audience_not_allowed" || code === "audience_missing";
}

/** Changes when a token does, and tells nothing of it: Envoy's admin endpoint shows versions. */
function versionOf(found: readonly { readonly token: IdToken }[]): string {
  const headers = found.map(({ token }) => token.header).sort();
  return createHash("sha256").update(headers.join("\n")).digest("base64url").slice(0, 22);
}
