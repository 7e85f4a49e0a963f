import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { METHODS, type IncomingMessage } from "node:http";
import { PRINCIPAL_HEADER } from "../access/caller-rule.ts";
import { CHECK_SECRET_HEADER } from "../access/check-secret.ts";
import { clientNames } from "../access/client-names.ts";
import type { Check, DecideCheck, Decision } from "../check/decision.ts";
import { closeAfterAnswer } from "./drain.ts";

export interface CheckOptions {
  readonly decide: DecideCheck;
  /** The response header that carries the token. */
  readonly tokenHeader: string;
  /** Whether each connection should be closed after its next answer. */
  readonly isDraining: () => boolean;
}

/** The path to which every check request is rewritten. */
export const CHECK_PATH = "/check";

/**
 * Answers check requests of any method: 200 with the token header, 403 for a denial, 503 if there
 * is no token, which Envoy counts as an error and not as a denial.
 */
export async function checkPlugin(app: FastifyInstance, options: CheckOptions): Promise<void> {
  const { decide, tokenHeader, isDraining } = options;

  function answer(reply: FastifyReply, decision: Decision) {
    if ("token" in decision) return reply.header(tokenHeader, decision.token.header).send();
    if ("denied" in decision) return reply.code(403).send({ error: decision.denied });
    return reply.code(503).send({ error: decision.failed });
  }

  // Every method that Node parses; none has a body to read, whatever its headers say.
  for (const method of METHODS) app.addHttpMethod(method, { overrideExisting: true });
  app.route({
    method: METHODS,
    url: CHECK_PATH,
    handler: ({ raw }: FastifyRequest, reply: FastifyReply) => {
      const decision = decide(readCheck(raw));
      if (!(decision instanceof Promise)) return answer(reply, decision);
      return decision.then((decided) => {
        // The drain hook misses requests that were already waiting for a mint.
        if (isDraining()) closeAfterAnswer(reply);
        return answer(reply, decided);
      });
    },
  });
}

function readCheck({ headers, socket }: IncomingMessage): Check {
  return {
    secret: headers[CHECK_SECRET_HEADER]?.toString(),
    named: headers["x-id-token-audience"]?.toString(),
    // HTTP/2 has an authority in its place.
    host: headers[":authority"]?.toString() ?? headers.host,
    client: clientNames(socket),
    principal: headers[PRINCIPAL_HEADER]?.toString(),
  };
}
