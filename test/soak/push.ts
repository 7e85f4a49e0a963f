import autocannon from "autocannon";
import { startGateway, API_AUDIENCE, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { countPushes, pollEvery } from "../support/push.ts";
import { startServer } from "../support/server-process.ts";

/** The outcome of one load. */
export interface SoakResult {
  readonly what: string;
  readonly requests: number;
  /** Requests without an answer or with another status than 200. */
  readonly failed: number;
  /** Requests whose token Cloud Run rejected. */
  readonly refused: number;
  /** Any other failed expectation, in words; empty if there is none. */
  readonly fault: string;
}

const CONNECTIONS = 8;
const REQUESTS_PER_SECOND = 400;
const SECOND_MS = 1000;

/** Sends load through `gateway-push` for minutes with short-lived tokens and without auth server. */
export async function soakPush(): Promise<readonly SoakResult[]> {
  return [await soakShortTokens(300), await soakDeadServer(60)];
}

/** Uses tokens that live 40 seconds, polled every 2 to 4 seconds. */
async function soakShortTokens(seconds: number): Promise<SoakResult> {
  await using parts = new AsyncDisposableStack();
  const gateway = await startLoaded(parts, 40);
  const load = await loadFor(gateway, seconds);
  const tokens = new Set(
    gateway.google.cloudRun.requests.map(({ identity }) => identity?.expiresAtSeconds),
  ).size;
  // A pushed token is renewed at half its life; with --refresh-at there would be fewer.
  const fault = tokens < seconds / 25 ? `only ${tokens} tokens were used` : "";
  return { what: `${seconds} s of load, ${tokens} tokens of 40 s`, ...load, fault };
}

/** Kills the auth server under load and starts it again. */
async function soakDeadServer(deadSeconds: number): Promise<SoakResult> {
  await using parts = new AsyncDisposableStack();
  const gateway = await startLoaded(parts, 3600);
  const { google, authServer } = gateway;
  const loading = loadFor(gateway, deadSeconds + 15);
  await pause(5);
  await authServer.stop("SIGKILL");
  await pause(deadSeconds);
  const flags = [`--credentials=${google.keyFile}`, `--audience=${API_AUDIENCE}`];
  const next = parts.use(await startServer([...flags, "--listen", authServer.address]));
  const load = await loading;
  const fault = (await countPushes(next.url, "ok")) > 0 ? "" : "Envoy did not poll again";
  return { what: `${deadSeconds} s of load without auth server`, ...load, fault };
}

async function startLoaded(
  parts: AsyncDisposableStack,
  tokenLifeSeconds: number,
): Promise<Gateway> {
  const request = (_request: unknown, response: { end: (text: string) => void }) =>
    response.end("hello");
  const container = parts.use(await startHttpService({ request }));
  const edit = pollEvery("2s");
  return parts.use(
    await startGateway({ container, config: "gateway-push", tokenLifeSeconds, edit }),
  );
}

async function loadFor({ url, google }: Gateway, seconds: number) {
  const result = await autocannon({
    url,
    connections: CONNECTIONS,
    duration: seconds,
    overallRate: REQUESTS_PER_SECOND,
  });
  return {
    requests: result.requests.total,
    failed: result.errors + result.non2xx,
    refused: google.cloudRun.refused(),
  };
}

/** Waits. The soak tests measure over time, so there is no event to wait for. */
function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, seconds * SECOND_MS);
  });
}

if (import.meta.main) {
  const results = await soakPush();
  for (const { what, requests, failed, refused, fault } of results) {
    console.log(`${what}: ${requests} requests, ${failed} failed, ${refused} refused ${fault}`);
  }
  const isGood = ({ requests, failed, refused, fault }: SoakResult) =>
    requests > 0 && failed + refused === 0 && fault === "";
  process.exitCode = results.every(isGood) ? 0 : 1;
}
