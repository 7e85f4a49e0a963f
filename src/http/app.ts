import { fastify, type FastifyInstance } from "fastify";
import type { IncomingMessage } from "node:http";
import { CHECK_PATH, checkPlugin, type CheckOptions } from "./check.ts";
import { healthPlugin, type HealthOptions } from "./health.ts";
import { PUSH_PATH, pushPlugin, type PushOptions } from "./push.ts";

export interface AppOptions {
  /** Without `check` and `push` the app serves health and metrics, and no tokens. */
  readonly check?: CheckOptions;
  readonly push?: PushOptions;
  readonly health: HealthOptions;
  /** Called with an unexpected error; the client gets a bare 500. */
  readonly onFault: (error: unknown) => void;
}

/** No route has a schema, and loading Fastify's compilers would be a tenth of the start time. */
const NO_COMPILERS = { buildValidator: noCompiler, buildSerializer: noCompiler };

/**
 * Envoy accepts about 60 KiB of request headers and forwards the path and `Authorization`. With
 * Node's default of 16 KiB the client would get a 431.
 */
export const MAX_HEADER_BYTES = 131_072;
/** Longer than Envoy's idle timeout (30 s in the shipped configs), so that Envoy closes first. */
export const KEEP_ALIVE_MS = 75_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;

/** A GET or HEAD of these is not a check; nor is a push. Everything else is. */
const HEALTH_PATHS = new Set(["/livez", "/readyz", "/healthz", "/metrics"]);

/** Builds the HTTP server and its routes, without listening. */
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
 * Rewrites the path of every check to one route before the router parses it: Envoy forwards paths
 * as they were sent, including ones that cannot be decoded or contain `..`.
 */
function toRoute(request: IncomingMessage): string {
  const url = request.url ?? "/";
  const end = url.indexOf("?");
  const path = end === -1 ? url : url.slice(0, end);
  const isRead = request.method === "GET" || request.method === "HEAD";
  const isPush = request.method === "POST" && path === PUSH_PATH;
  return isPush || (isRead && HEALTH_PATHS.has(path)) ? path : CHECK_PATH;
}

function noCompiler(): never {
  throw new Error("a route has a schema, but there is no compiler for it");
}
