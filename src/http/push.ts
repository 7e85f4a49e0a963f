import type { FastifyInstance, FastifyReply } from "fastify";
import type { Clock } from "../system/clock.ts";
import { CHECK_SECRET_HEADER, type CheckSecret } from "../access/check-secret.ts";
import { closeAfterAnswer } from "./drain.ts";
import { createPushReader, MAX_REQUEST_BYTES } from "./push-bodies.ts";
import {
  discoveryResponse,
  findOutage,
  InvalidDiscoveryRequest,
  parseDiscoveryRequest,
  type NamedSecret,
} from "./secret-discovery.ts";
import { MintError } from "../system/errors.ts";
import type { PushOutcome } from "../telemetry/request-metrics.ts";
import type { Authorize } from "../check/authorize.ts";
import type { TokenRequest } from "../tokens/account-tokens.ts";
import { clientNames } from "../access/client-names.ts";
import type { IdToken } from "../tokens/id-token.ts";

export interface PushOptions {
  /** Without it, anyone who can reach the server is answered. */
  readonly secret?: Pick<CheckSecret, "matches"> | undefined;
  readonly authorize: Authorize;
  /** A token that stays valid until the next poll. Rejects with a MintError. */
  readonly token: (request: TokenRequest) => IdToken | Promise<IdToken>;
  /** Called for each requested secret, or once for a request that was refused unread. */
  readonly pushed: (outcome: PushOutcome) => void;
  /** Whether each connection should be closed after its next answer. */
  readonly isDraining: () => boolean;
  readonly clock: Clock;
}

/** Where Envoy polls for secrets (SDS over REST). */
export const PUSH_PATH = "/v3/discovery:secrets";

/** The name of the default audience's token. */
const DEFAULT_NAME = "default";

/**
 * Answers Envoy's requests for secrets, each named by an audience or `default`: 200 with the
 * available tokens, 503 if there is none, 403 without the check secret, 400 or 413 for an invalid
 * or oversized request.
 */
export async function pushPlugin(app: FastifyInstance, options: PushOptions): Promise<void> {
  const { secret, authorize, token, pushed, isDraining, clock } = options;
  const readPush = createPushReader(clock);

  async function find(name: string, client: readonly string[]): Promise<NamedSecret> {
    const named = name === DEFAULT_NAME ? undefined : name;
    const grant = authorize({ named, host: undefined, client, principal: undefined });
    if ("refused" in grant) return { name, refused: grant.refused };
    try {
      return { name, token: await token(grant) };
    } catch (error) {
      if (!(error instanceof MintError)) throw error;
      return { name, failed: error.code };
    }
  }

  function refuse(reply: FastifyReply, status: number, error: PushOutcome, reason?: string) {
    pushed(error);
    return reply.code(status).send({ error, reason });
  }

  // In a Fastify path, `::` is a literal colon.
  app.post(PUSH_PATH.replace(":", "::"), async (request, reply) => {
    if (secret?.matches(request.raw.headers[CHECK_SECRET_HEADER]?.toString()) === false) {
      return refuse(reply, 403, "check_secret_wrong");
    }
    const client = clientNames(request.raw.socket);
    // Fastify reads no bodies, because those of checks do not matter.
    const body = await readPush(request.raw, client);
    if (body === undefined) {
      closeAfterAnswer(reply);
      const reason = `the request must have at most ${MAX_REQUEST_BYTES} bytes`;
      return refuse(reply, 413, "push_too_large", reason);
    }
    let names: readonly string[];
    try {
      names = parseDiscoveryRequest(body);
    } catch (error) {
      if (!(error instanceof InvalidDiscoveryRequest)) throw error;
      return refuse(reply, 400, "push_malformed", error.message);
    }
    const secrets = await Promise.all(names.map((name) => find(name, client)));
    for (const each of secrets) pushed(outcomeOf(each));
    // The drain hook misses requests that were already waiting for a mint.
    if (isDraining()) closeAfterAnswer(reply);
    const outage = findOutage(secrets);
    if (outage !== undefined) return reply.code(503).send({ error: outage });
    return reply.send(discoveryResponse(secrets));
  });
}

function outcomeOf(secret: NamedSecret): PushOutcome {
  if ("token" in secret) return "ok";
  return "refused" in secret ? secret.refused : secret.failed;
}
