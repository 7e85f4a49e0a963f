import { setTimeout } from "node:timers/promises";
import { decodeJwt } from "jose";
import type { ServerProcess } from "../test/support/server-process.ts";
import type { Line } from "./line.ts";
import type { SteadyCaller } from "./steady.ts";
import type { Answer } from "./tls-target.ts";

const CHANGES = 20;
const CHANGE_EVERY_MS = 400;
const MAX_CHANGE_MS = 10_000;
const LOAD = { perSecond: 2000, seconds: 10 };

/** A policy and what it gives the caller: a token of this account, or a refusal. */
export interface Policy {
  readonly text: string;
  readonly outcome: string;
}

/** The outcome of a check that is refused. */
export const REFUSED = "refused";

/** A policy with the time in which it may decide, by `performance.now()`. */
interface Period {
  readonly outcome: string;
  readonly fromMs: number;
  untilMs: number;
}

/**
 * Changes the policy 20 times while a caller sends 2,000 checks per second. Throws an Error at an
 * answer that no policy in force during the check would give.
 */
export async function benchPolicyChanges(
  server: ServerProcess,
  caller: SteadyCaller,
  { policies, write }: Policies,
): Promise<Line> {
  const periods: Period[] = [];
  const seen = new Set<string>();

  async function change(policy: Policy | undefined, index: number): Promise<void> {
    if (policy === undefined) return;
    const before = changesOf(server);
    const last = periods.at(-1);
    periods.push({ outcome: policy.outcome, fromMs: performance.now(), untilMs: Infinity });
    await write(`${policy.text}${"\n".repeat(index + 1)}`);
    server.signal("SIGHUP");
    const untilMs = performance.now() + MAX_CHANGE_MS;
    while (changesOf(server) === before) {
      if (performance.now() > untilMs) throw new Error("a policy has not been used");
      await setTimeout(1);
    }
    if (last !== undefined) last.untilMs = performance.now();
  }

  function verify(answer: Answer, sentMs: number): void {
    const outcome = outcomeOf(answer);
    const isRight = periods.some((each) => each.outcome === outcome && each.untilMs >= sentMs);
    if (!isRight) throw new Error(`a check was answered for ${outcome} against the policy`);
    seen.add(outcome);
  }

  await change(policies[0], 0);
  const loading = caller.load(LOAD, verify);
  for (let index = 1; index <= CHANGES; index++) {
    await Promise.race([setTimeout(CHANGE_EVERY_MS), loading]);
    await change(policies[index % policies.length], index);
  }
  const { count, p50Ms, p99Ms } = await loading;
  const missing = policies.filter(({ outcome }) => !seen.has(outcome));
  if (missing.length > 0) throw new Error("a policy has decided nothing");
  return {
    what: `checks/s verified while the policy changes ${CHANGES} times`,
    runs: [count / LOAD.seconds],
    unit: "checks/s",
    figures: `${count} checks, none lost or against the policy, median ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(1)} ms`,
  };
}

interface Policies {
  /** The first is in force at the start. */
  readonly policies: readonly Policy[];
  readonly write: (text: string) => Promise<void>;
}

function changesOf(server: ServerProcess): number {
  return server.lines().filter(({ event }) => event === "policy_changed").length;
}

/** The account of the answer's token, or that it is a refusal. Throws an Error for any other. */
function outcomeOf({ status, head }: Answer): string {
  if (status === 403) return REFUSED;
  const token = /^authorization: *Bearer (\S+)$/im.exec(head)?.[1];
  if (status !== 200 || token === undefined) throw new Error(`a check was answered with ${status}`);
  return String(decodeJwt(token)["email"]);
}
