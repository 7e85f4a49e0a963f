import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { METHODS } from "node:http";
import { performance } from "node:perf_hooks";
import type { AudienceChoice, CheckRequest } from "../access/audience.ts";
import { CHECK_SECRET_HEADER, type CheckSecret } from "../access/check-secret.ts";
import { MintError } from "../system/errors.ts";
import type { CheckOutcome } from "../telemetry/metrics.ts";
import type { IdToken } from "../tokens/id-token.ts";

export interface CheckOptions {
  /** Left out, whoever reaches the server is answered. */
  readonly secret?: Pick<CheckSecret, "matches"> | undefined;
  readonly chooseAudience: (request: CheckRequest) => AudienceChoice;
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /** The header that carries the token. */
  readonly tokenHeader: string;
  readonly checked: (outcome: CheckOutcome, durationMs: number) => void;
  /** Whether connections are to be ended with their next answer. */
  readonly isDraining: () => boolean;
}

/** The path that every check request has been rewritten to. */
export const CHECK_PATH = "/check";

/**
 * Answers check requests of any method: 200 with the token header, 403 without the check secret
 * or for an audience that is not to be had, 503 while there is no token, which Envoy counts as an
 * error and not as a denial.
 */
export async function checkPlugin(app: FastifyInstance, options: CheckOptions): Promise<void> {
  const { secret, chooseAudience, token, tokenHeader, checked, isDraining } = options;

  function refuse(reply: FastifyReply, status: 403 | 503, code: CheckOutcome, startedMs: number) {
    checked(code, performance.now() - startedMs);
    return reply.code(status).send({ error: code });
  }

  function allow(reply: FastifyReply, { header }: IdToken, startedMs: number) {
    checked("ok", performance.now() - startedMs);
    return reply.header(tokenHeader, header).send();
  }

  // Every method that Node reads, and none with a body to parse, whatever its type and length say.
  for (const method of METHODS) app.addHttpMethod(method, { overrideExisting: true });
  app.route({
    method: METHODS,
    url: CHECK_PATH,
    handler: (request: FastifyRequest, reply: FastifyReply) => {
      const startedMs = performance.now();
      const { headers } = request.raw;
      if (secret?.matches(headers[CHECK_SECRET_HEADER]?.toString()) === false) {
        return refuse(reply, 403, "check_secret_wrong", startedMs);
      }
      const named = headers["x-id-token-audience"];
      const choice = chooseAudience({ named: named?.toString(), host: headers.host });
      if ("refused" in choice) return refuse(reply, 403, choice.refused, startedMs);
      const found = token(choice.audience);
      // A cached token is answered in the same turn: no promise, no wait.
      if (!(found instanceof Promise)) return allow(reply, found, startedMs);
      return found.then(
        (minted) => allow(endingIf(isDraining(), reply), minted, startedMs),
        (error: unknown) => {
          if (!(error instanceof MintError)) throw error;
          return refuse(endingIf(isDraining(), reply), 503, error.code, startedMs);
        },
      );
    },
  });
}

/** The drain tells what comes after its start; what waited for a mint meanwhile learns of it here. */
function endingIf(isDraining: boolean, reply: FastifyReply): FastifyReply {
  return isDraining ? reply.header("connection", "close") : reply;
}
