import type { FastifyInstance } from "fastify";
import type { EnvoyStatus } from "../envoy/supervisor.ts";
import type { MintError } from "../system/errors.ts";
import type { IdToken } from "../tokens/id-token.ts";

export interface HealthOptions {
  readonly readiness: () => readonly {
    readonly audience: string;
    readonly token: IdToken | undefined;
    readonly error: MintError | undefined;
  }[];
  readonly isDraining: () => boolean;
  readonly metrics: { readonly contentType: string; readonly render: () => Promise<string> };
  /** The Envoy that runs with this server as one. */
  readonly envoy?: EnvoyStatus | undefined;
}

/** Serves liveness, readiness and metrics, none of which ever contains a token. */
export async function healthPlugin(app: FastifyInstance, options: HealthOptions): Promise<void> {
  const { metrics, envoy } = options;
  app.get("/livez", () => ({ status: "ok" }));

  for (const path of ["/readyz", "/healthz"]) {
    app.get(path, (_request, reply) => {
      const { status, ...facts } = describeReadiness(options);
      return reply.code(status === "ready" ? 200 : 503).send({ status, ...facts });
    });
  }

  app.get("/metrics", async (_request, reply) => {
    const own = await metrics.render();
    // One that is being restarted has none.
    const ofEnvoy = await envoy?.metrics().catch(() => "");
    return reply.type(metrics.contentType).send(own + (ofEnvoy ?? ""));
  });

  if (envoy === undefined) return;
  app.get("/metrics/envoy", async (_request, reply) => {
    try {
      return await reply.type(metrics.contentType).send(await envoy.metrics());
    } catch {
      return reply.code(503).type("text/plain").send(`Envoy is ${envoy.state()}\n`);
    }
  });
}

/** What readiness probes are answered: `ready`, or why not. */
export function describeReadiness({ readiness, isDraining, envoy }: HealthOptions) {
  const missing = readiness()
    .filter(({ token }) => token === undefined)
    .map(({ audience, error }) => ({
      audience,
      error: error?.code ?? "mint_pending",
      reason: error?.message ?? "the first token is being minted",
    }));
  const state = envoy?.state();
  const ofEnvoy = state === undefined ? {} : { envoy: state };
  if (isDraining() || state === "draining") return { status: "draining", missing, ...ofEnvoy };
  const isReady = missing.length === 0 && (state === undefined || state === "ready");
  return isReady ? { status: "ready", ...ofEnvoy } : { status: "not ready", missing, ...ofEnvoy };
}
