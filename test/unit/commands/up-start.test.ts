import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { startUp } from "../../../src/commands/up-start.ts";
import { parseUpFlags } from "../../../src/settings/up.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "../../support/keyed-endpoint.ts";
import { writeFailingEnvoy, writeStandInEnvoy } from "../../support/stand-in-envoy.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const SERVICE_URL = "https://api-abc123-ew.a.run.app";
const shared = new AsyncDisposableStack();
let keyed: KeyedEndpoint;
let parts = new AsyncDisposableStack();

beforeAll(async () => {
  keyed = shared.use(await startKeyedEndpoint());
});
afterAll(() => shared.disposeAsync());
afterEach(async () => {
  await parts.disposeAsync();
  parts = new AsyncDisposableStack();
});

/** Starts everything with a stand-in for Envoy; records the steps. */
async function start(
  writeEnvoy: (folder: string) => Promise<string>,
  flags: readonly string[] = [],
  signal = new AbortController().signal,
  name = "gateway",
) {
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const options = parseUpFlags(
    [
      name,
      `--service-url=${SERVICE_URL}`,
      "--service-ca=/ca",
      "--listen=127.0.0.1:0",
      "--no-probe",
      `--envoy=${await writeEnvoy(folder)}`,
      `--credentials=${keyed.keyFile}`,
      ...flags,
    ],
    {},
    false,
  );
  const steps: string[] = [];
  const log = createLogger("error", { write: () => {} });
  const step = (text: string) => void steps.push(text);
  const starting = startUp(options, { env: {}, clock: systemClock, log, step, signal, parts });
  return { starting, steps };
}

it("the auth server and Envoy start, each with a step, and the account is known", async () => {
  const { starting, steps } = await start(writeStandInEnvoy);
  const { envoy, server, listen, account } = await starting;
  expect(envoy.state()).toBe("ready");
  expect(server?.credential.principal).toBe(keyed.account.clientEmail);
  expect(listen.port).toBeGreaterThan(0);
  expect(account).toBe(keyed.account.clientEmail);
  expect(steps).toEqual([
    expect.stringMatching(/^Envoy 1\.40\.0, /),
    expect.stringContaining(`the credential of ${account} (service_account)`),
  ]);
});

it("an Envoy that fails is a StartError with Envoy's own words", async () => {
  const { starting } = await start(writeFailingEnvoy);
  await expect(starting).rejects.toThrow(
    new StartError("Envoy ended (exit code 1): main: cannot bind '127.0.0.1:80'"),
  );
});

it("a credential that cannot be read is a StartError, and Envoy is not started", async () => {
  const { starting, steps } = await start(writeFailingEnvoy, ["--credentials=/none.json"]);
  await expect(starting).rejects.toThrow(/^\/none\.json: /);
  expect(steps).toHaveLength(1);
});

it("a tunnel without its certificates is a StartError with what to do, before anything starts", async () => {
  const { signal } = new AbortController();
  const { starting, steps } = await start(
    writeStandInEnvoy,
    ["--cert-dir=/none"],
    signal,
    "tunnel-client-push",
  );
  await expect(starting).rejects.toThrow(
    /^\/none\/ca\.crt: the CA of the tunnel server .* no such file → check --cert-dir; certs DIR/,
  );
  expect(steps).toEqual([]);
});

it("no further step begins once the start is aborted", async () => {
  const { starting, steps } = await start(writeStandInEnvoy, [], AbortSignal.abort());
  await expect(starting).rejects.toThrow("abort");
  expect(steps.filter((text) => text.includes("auth server"))).toEqual([]);
});
