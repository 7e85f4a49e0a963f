import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { AudienceChoice, CheckRequest } from "../access/audience.ts";
import { readBounded } from "../system/bounded-body.ts";
import { CHECK_SECRET_HEADER, type CheckSecret } from "../access/check-secret.ts";
import {
  discoveryResponse,
  findOutage,
  InvalidDiscoveryRequest,
  parseDiscoveryRequest,
  type NamedSecret,
} from "./secret-discovery.ts";
import { MintError } from "../system/errors.ts";
import type { PushOutcome } from "../telemetry/metrics.ts";
import type { IdToken } from "../tokens/id-token.ts";

export interface PushOptions {
  /** Left out, whoever reaches the server is answered. */
  readonly secret?: Pick<CheckSecret, "matches"> | undefined;
  readonly chooseAudience: (request: CheckRequest) => AudienceChoice;
  /** The token for a holder that keeps it until it asks again. Rejects with a MintError. */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /** Told of each secret that was asked for, or once of a request that was not read. */
  readonly pushed: (outcome: PushOutcome) => void;
  /** Whether connections are to be ended with their next answer. */
  readonly isDraining: () => boolean;
}

/** Where Envoy asks for secrets (SDS over REST). */
export const PUSH_PATH = "/v3/discovery:secrets";

/** The secret by this name is the default audience's token. */
const DEFAULT_NAME = "default";
/** Envoy's requests are about 77 KB: they list its extensions. */
const MAX_REQUEST_BYTES = 1_048_576;

/**
 * Answers Envoy's requests for secrets, each named by an audience or `default`: 200 with the
 * tokens that there are, 503 while there is none, 403 without the check secret, 400 and 413 for
 * what is no request for secrets.
 */
export async function pushPlugin(app: FastifyInstance, options: PushOptions): Promise<void> {
  const { secret, chooseAudience, token, pushed, isDraining } = options;

  async function find(name: string): Promise<NamedSecret> {
    const named = name === DEFAULT_NAME ? undefined : name;
    const choice = chooseAudience({ named, host: undefined });
    if ("refused" in choice) return { name, refused: choice.refused };
    try {
      return { name, token: await token(choice.audience) };
    } catch (error) {
      if (!(error instanceof MintError)) throw error;
      return { name, failed: error.code };
    }
  }

  function refuse(reply: FastifyReply, status: number, error: PushOutcome, reason?: string) {
    pushed(error);
    return reply.code(status).send({ error, reason });
  }

  // A colon that begins no parameter is written twice.
  app.post(PUSH_PATH.replace(":", "::"), async (request, reply) => {
    if (secret?.matches(request.raw.headers[CHECK_SECRET_HEADER]?.toString()) === false) {
      return refuse(reply, 403, "check_secret_wrong");
    }
    const body = await readBody(request);
    if (body === undefined) {
      reply.header("connection", "close");
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
    const secrets = await Promise.all(names.map(find));
    for (const each of secrets) pushed(outcomeOf(each));
    // The drain tells what comes after its start; what waited for a mint learns of it here.
    if (isDraining()) reply.header("connection", "close");
    const outage = findOutage(secrets);
    if (outage !== undefined) return reply.code(503).send({ error: outage });
    return reply.send(discoveryResponse(secrets));
  });
}

/** Here and not by Fastify, to which no POST has a body: checks have none that matters. */
function readBody({ raw }: FastifyRequest): Promise<string | undefined> {
  // What is left unread must not end the connection: there is an answer to send.
  const chunks = raw.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  // One that breaks off has nobody to be told.
  return readBounded(chunks, MAX_REQUEST_BYTES).catch(() => "");
}

function outcomeOf(secret: NamedSecret): PushOutcome {
  if ("token" in secret) return "ok";
  return "refused" in secret ? secret.refused : secret.failed;
}
