import type { FastifyInstance } from "fastify";
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
}

/** Serves liveness, readiness and metrics, none of which ever contains a token. */
export async function healthPlugin(app: FastifyInstance, options: HealthOptions): Promise<void> {
  app.get("/livez", () => ({ status: "ok" }));

  for (const path of ["/readyz", "/healthz"]) {
    app.get(path, (_request, reply) => {
      const missing = options
        .readiness()
        .filter(({ token }) => token === undefined)
        .map(({ audience, error }) => ({
          audience,
          error: error?.code ?? "mint_pending",
          reason: error?.message ?? "the first token is being minted",
        }));
      if (options.isDraining()) return reply.code(503).send({ status: "draining", missing });
      if (missing.length > 0) return reply.code(503).send({ status: "not ready", missing });
      return reply.send({ status: "ready" });
    });
  }

  app.get("/metrics", async (_request, reply) => {
    const text = await options.metrics.render();
    return reply.type(options.metrics.contentType).send(text);
  });
}
