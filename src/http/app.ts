import { fastify, type FastifyInstance } from "fastify";
import type { IncomingMessage } from "node:http";
import { CHECK_PATH, checkPlugin, type CheckOptions } from "./check.ts";
import { healthPlugin, type HealthOptions } from "./health.ts";
import { PUSH_PATH, pushPlugin, type PushOptions } from "./push.ts";

export interface AppOptions {
  /** Both left out, the app serves health and metrics and no tokens. */
  readonly check?: CheckOptions;
  readonly push?: PushOptions;
  readonly health: HealthOptions;
  /** Told of a fault in a route itself; the client only learns that there was one. */
  readonly onFault: (error: unknown) => void;
}

/** No route has a schema. Fastify's own compilers would take a tenth of the program's start. */
const NO_COMPILERS = { buildValidator: noCompiler, buildSerializer: noCompiler };

/**
 * Envoy lets about 60 KiB of request headers in and forwards the path and `Authorization`; Node's
 * own 16 KiB would refuse them with a 431 that the client then sees.
 */
const MAX_HEADER_BYTES = 131_072;
/** Longer than Envoy keeps an idle connection (30 s in the shipped configs), so that Envoy ends it. */
const KEEP_ALIVE_MS = 75_000;
/** A sender of headers that is slower than this is cut off. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;

/** What is not a check: reads of these, pushes, and no others. */
const NAMED = new Set(["/livez", "/readyz", "/healthz", "/metrics"]);

/** Builds the HTTP server's routes; nothing listens yet. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = fastify({
    logger: false,
    exposeHeadRoutes: true,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    schemaController: { compilersFactory: NO_COMPILERS },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requireHostHeader: false,
    },
    ...(options.check && { rewriteUrl: toRoute }),
  });
  app.setErrorHandler((error, _request, reply) => {
    options.onFault(error);
    return reply.code(500).send({ error: "internal" });
  });
  await app.register(healthPlugin, options.health);
  if (options.check) await app.register(checkPlugin, options.check);
  if (options.push) await app.register(pushPlugin, options.push);
  return app;
}

/**
 * Sends every request that is not named to the check, before any router sees its path: Envoy
 * passes paths on as they were sent, undecodable ones and `..` included.
 */
function toRoute(request: IncomingMessage): string {
  const url = request.url ?? "/";
  const end = url.indexOf("?");
  const path = end === -1 ? url : url.slice(0, end);
  const isRead = request.method === "GET" || request.method === "HEAD";
  const isPush = request.method === "POST" && path === PUSH_PATH;
  return isPush || (isRead && NAMED.has(path)) ? path : CHECK_PATH;
}

function noCompiler(): never {
  throw new Error("a route has a schema, and there is no compiler for it");
}
