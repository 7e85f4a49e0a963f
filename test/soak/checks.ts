import { rename, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { API_AUDIENCE, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { httpAttempt, startLoad } from "../support/load.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";

const HELP = `Usage: npm run soak [-- --seconds N]

Sends load through Envoy for N seconds (60) while the auth server is killed and restarted, while
Google fails and while the key is rotated. Exits with 0 if no request was lost and the auth server's
memory grew by less than 10 %.
`;
const WORKERS = 16;
const TOKEN_LIFE_SECONDS = 40;
/** Shorter than the quarter of a token's life that remains when its renewal is due. */
const FAULT_SECONDS = 3;
const MAX_GROWTH = 0.1;

const print = (text: string) => void process.stdout.write(`${text}\n`);
const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, help: { type: "boolean" } },
});
if (values.help === true) print(HELP);
else process.exitCode = await soak(Number(values.seconds));

/** Runs the soak test for about this long. Resolves with the exit code. */
async function soak(seconds: number): Promise<number> {
  if (!(seconds >= 10 && seconds <= 86_400)) {
    process.stderr.write("--seconds: must be a number from 10 to 86400\n");
    return 2;
  }
  await using parts = new AsyncDisposableStack();
  const container = parts.use(
    await startHttpService({ request: (_request, response) => response.end("hello") }),
  );
  const options = { container, tokenLifeSeconds: TOKEN_LIFE_SECONDS };
  const gateway = parts.use(await startGateway(options));
  const startedMs = performance.now();
  const left = () => seconds - (performance.now() - startedMs) / 1000;
  const report = (what: string) => print(`${(seconds - left()).toFixed(0).padStart(5)} s  ${what}`);
  const load = startLoad(WORKERS, httpAttempt(gateway.url));

  const server = await restartRepeatedly(gateway, parts, report, () => left() > seconds / 2);
  const memory = watchMemory(server);
  await rotateRepeatedly(gateway, report, () => left() > 0);
  const growth = await memory.end();

  const { ok = 0, ...lost } = await load.stop();
  const lostCount = Object.values(lost).reduce((sum, count) => sum + count, 0);
  const mints = gateway.google.endpoint.exchanges.filter(({ outcome }) => outcome === "issued");
  const share = `${(growth * 100).toFixed(1)} %`;
  print(`\nrequests ${ok}, lost ${lostCount}, mints ${mints.length}, memory growth ${share}`);
  for (const [outcome, count] of Object.entries(lost)) print(`lost: ${count} × ${outcome}`);
  return lostCount === 0 && growth < MAX_GROWTH ? 0 : 1;
}

/** Restarts the server, by SIGKILL and SIGTERM in turn. Resolves with the last one. */
async function restartRepeatedly(
  { google, authServer }: Gateway,
  parts: AsyncDisposableStack,
  report: (what: string) => void,
  shouldContinue: () => boolean,
): Promise<ServerProcess> {
  let server = authServer;
  for (let turn = 0; shouldContinue(); turn++) {
    await pause(2);
    const signal = turn % 2 === 0 ? "SIGKILL" : "SIGTERM";
    await server.stop(signal);
    const flags = [`--credentials=${google.keyFile}`, `--audience=${API_AUDIENCE}`];
    server = parts.use(await startServer([...flags, "--listen", authServer.address]));
    report(`auth server restarted after ${signal}`);
    // Without a first token, checks would fail when Google does.
    await server.event("minted");
  }
  return server;
}

/** Makes Google fail and rotates the key, in turn. */
async function rotateRepeatedly(
  { google }: Gateway,
  report: (what: string) => void,
  shouldContinue: () => boolean,
): Promise<void> {
  const { endpoint, keyFile } = google;
  const faults = [{ kind: "status", status: 503 }, { kind: "hang" }, { kind: "reset" }] as const;
  for (let turn = 0; shouldContinue(); turn++) {
    const fault = faults[turn % faults.length];
    endpoint.setFault(fault);
    await pause(FAULT_SECONDS);
    endpoint.setFault(undefined);
    const clientEmail = `caller-${Math.floor(turn / 2)}@test-project.iam.gserviceaccount.com`;
    const account = createServiceAccount({ tokenUri: endpoint.url, clientEmail });
    endpoint.register(account);
    const text = JSON.stringify(account.keyFile);
    // First truncated, as if read while it is being written, then complete.
    await writeFile(keyFile, text.slice(0, 1500));
    await pause(1);
    await writeFile(`${keyFile}.new`, text);
    await rename(`${keyFile}.new`, keyFile);
    report(`Google failed for ${FAULT_SECONDS} s (${fault?.kind}), then the key was rotated`);
    await pause(1);
  }
}

/**
 * Samples a server's resident memory. `end` resolves with its relative growth from the second third
 * of the samples, when the server is warm, to the last.
 */
function watchMemory({ url }: ServerProcess) {
  const samples: number[] = [];
  const timer = setInterval(() => void sample(), 500);

  async function sample(): Promise<void> {
    const metrics = await (await fetch(`${url}/metrics`)).text();
    samples.push(Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]));
  }

  const median = (numbers: readonly number[]) =>
    numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

  return {
    end: async () => {
      clearInterval(timer);
      const third = Math.floor(samples.length / 3);
      return median(samples.slice(-third)) / median(samples.slice(third, 2 * third)) - 1;
    },
  };
}
