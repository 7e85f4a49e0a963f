import { CheckFailure, type Finding } from "./checklist.ts";
import { proxyHeaders, type Connection } from "./endpoint-checks.ts";
import { ask } from "./network.ts";

/** A smaller skew has no effect. */
const FINE_SECONDS = 10;
/** Beyond this, the endpoint may refuse assertions, which are dated by this clock. */
const BAD_SECONDS = 300;
const REMEDY = "set the clock and keep it in sync by NTP: timedatectl set-ntp true";

/** Compares this machine's clock with the token endpoint's `Date`. Ends the connection. */
export async function checkClock(
  { route, socket }: Connection,
  timeoutMs: number,
): Promise<Finding<number | undefined>> {
  const { endpoint, proxy } = route;
  const isForwarded = proxy !== undefined && endpoint.protocol === "http:";
  const sentAtMs = Date.now();
  const { headers } = await ask(socket, {
    method: "HEAD",
    target: isForwarded ? endpoint.href : endpoint.pathname,
    headers: { host: endpoint.host, ...(isForwarded && proxyHeaders(route)) },
    whom: endpoint.host,
    timeoutMs,
  });
  const dateMs = Date.parse(headers.date ?? "");
  if (Number.isNaN(dateMs)) {
    const message = `${endpoint.host} sends no Date header`;
    return { message, remedy: "check this machine's clock by hand", value: undefined };
  }
  return judgeSkew(clockSkewSeconds(dateMs, sentAtMs, Date.now()), endpoint.host);
}

/**
 * How far this machine's clock is ahead of the one that wrote `dateMs` (negative: behind), in
 * seconds. `dateMs` is rounded down to a second and was written between the two other moments.
 */
export function clockSkewSeconds(dateMs: number, sentAtMs: number, receivedAtMs: number): number {
  const atLeastMs = sentAtMs - dateMs - 1000;
  const atMostMs = receivedAtMs - dateMs;
  if (atLeastMs <= 0 && atMostMs >= 0) return 0;
  return Math.round((atLeastMs + atMostMs) / 2000);
}

/** Judges a skew. Throws a CheckFailure if it is too large. */
export function judgeSkew(skewSeconds: number, host: string): Finding<number> {
  const size = Math.abs(skewSeconds);
  const facts = { skewSeconds };
  if (size <= FINE_SECONDS) {
    return { message: `within ${Math.max(size, 1)} s of ${host}'s`, facts, value: skewSeconds };
  }
  const side = skewSeconds > 0 ? "ahead of" : "behind";
  const message = `this machine's clock is ${size} s ${side} ${host}'s`;
  if (size <= BAD_SECONDS) return { message, remedy: REMEDY, facts, value: skewSeconds };
  throw new CheckFailure(`${message}, which may refuse assertions dated so far off`, REMEDY, facts);
}
