import type { FastifyInstance } from "fastify";
import { createAudienceRule } from "../../src/access/audience.ts";
import { createDecision } from "../../src/check/decision.ts";
import { buildApp } from "../../src/http/app.ts";
import type { CheckOptions } from "../../src/http/check.ts";
import type { HealthOptions } from "../../src/http/health.ts";
import type { PushOptions } from "../../src/http/push.ts";
import { systemClock } from "../../src/system/clock.ts";
import { idToken } from "./tokens.ts";

/** The configured audience. */
export const AUDIENCE = "https://a.run.app";
/** Its cached token. */
export const TOKEN = idToken(AUDIENCE, { wallMs: 0, monotonicMs: 0 });

export interface TestApp {
  readonly app: FastifyInstance;
  /** Outcomes of checks so far. */
  readonly checks: readonly string[];
  /** Outcomes of pushes so far. */
  readonly pushes: readonly string[];
  /** Unexpected errors so far. */
  readonly errors: readonly unknown[];
}

/** Builds the app over one cached token; a test replaces what it is about. */
export async function buildTestApp(
  parts: {
    readonly check?: Partial<CheckOptions>;
    readonly push?: Partial<PushOptions>;
    readonly health?: Partial<HealthOptions>;
  } = {},
): Promise<TestApp> {
  const checks: string[] = [];
  const pushes: string[] = [];
  const errors: unknown[] = [];
  const authorize = createAudienceRule({ configured: [AUDIENCE], allowed: [], fromHost: false });
  const access = { authorize, token: () => TOKEN };
  const isDraining = () => false;
  const app = await buildApp({
    check: {
      decide: createDecision({
        turns: undefined,
        ...access,
        checked: (outcome) => checks.push(outcome),
        denied: () => {},
      }),
      tokenHeader: "authorization",
      isDraining,
      ...parts.check,
    },
    push: {
      ...access,
      pushed: (outcome) => pushes.push(outcome),
      isDraining,
      clock: systemClock,
      ...parts.push,
    },
    health: { ...HEALTHY, ...parts.health },
    onFault: (error) => errors.push(error),
  });
  return { app, checks, pushes, errors };
}

/** A server that has its token and is not draining. */
export const HEALTHY: HealthOptions = {
  readiness: () => [{ audience: AUDIENCE, token: TOKEN, error: undefined }],
  isDraining: () => false,
  metrics: { contentType: "text/plain", render: async () => "a 1\n" },
};
