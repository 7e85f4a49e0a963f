import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCheckSecret } from "../access/check-secret.ts";
import { describeFinding, probeCertificates, probeMint, probeService } from "../doctor/probe.ts";
import { findEnvoy } from "../envoy/binary.ts";
import { needsAuthServer } from "../envoy/configs.ts";
import { renderEnvoyConfig } from "../envoy/render.ts";
import { secretFiles } from "../envoy/secret-files.ts";
import { superviseEnvoy, type EnvoyEvents, type SupervisedEnvoy } from "../envoy/supervisor.ts";
import { urlOf, type EnvoyOptions } from "../envoy/values.ts";
import { configVersion } from "../envoy/versions.ts";
import { startWatchdog } from "../envoy/watchdog.ts";
import { findFreeAddress } from "../http/listen.ts";
import type { ServerContext } from "../server/context.ts";
import { serveHealth } from "../server/endpoints.ts";
import { startServer, type RunningServer } from "../server/server.ts";
import { VERIFICATION_AUDIENCE } from "../server/tokens.ts";
import { notesOn } from "../settings/envoy.ts";
import type { UpOptions } from "../settings/up.ts";
import type { Address, TcpAddress } from "../system/address.ts";
import { makePrivateFolder } from "../system/private-folder.ts";

/** Long enough for a service that Cloud Run has to start first. */
const PROBE_TIMEOUT_MS = 30_000;
/** After this long without an answer, a step says what is being waited for. */
const SLOW_MS = 2000;

export interface UpContext extends Omit<ServerContext, "envoy"> {
  /** Reports one line to the person who waits. */
  readonly step: (text: string) => void;
  /** Aborted, the next step does not begin. */
  readonly signal: AbortSignal;
  /** What was started, to be disposed of in any case. */
  readonly parts: AsyncDisposableStack;
}

/** What runs when all has started. */
export interface Up {
  readonly envoy: SupervisedEnvoy;
  /** Absent where the config needs no tokens. */
  readonly server: RunningServer | undefined;
  /** Where Envoy accepts connections, with the chosen port. */
  readonly listen: TcpAddress;
  /** Whose tokens the requests get, if it is known. */
  readonly account: string | undefined;
}

/**
 * Checks the tunnel's certificates, starts the auth server on a private socket, makes sure that it
 * can mint and that the service lets its token in, and starts Envoy. Throws a StartError of one line
 * for the first of these that fails.
 */
export async function startUp(options: UpOptions, context: UpContext): Promise<Up> {
  const { env, clock, step, signal, parts } = context;
  const { certDir } = options.envoy;
  const today = new Date(clock.now().wallMs);
  if (certDir !== undefined) step(describeFinding(await probeCertificates(certDir, today)));
  const binary = await findEnvoy({ named: options.binary, env, onProgress: step, signal });
  step(`Envoy ${binary.version}, ${binary.path}`);
  const listen = await findFreeAddress(options.envoy.listen);
  const place = await makePlace(context);
  const { paths, watchdog } = place;
  const { server, secret } = await copyCheckSecret(options.server, paths.checkSecret);
  const envoy = superviseEnvoy(
    {
      binary: binary.path,
      configFile: paths.config,
      adminAddressFile: paths.adminAddress,
      env: { ...env, ...secret },
      clock,
      events: reportEvents(context),
    },
    watchdog,
  );
  signal.throwIfAborted();
  const authz: Address = { kind: "unix", path: paths.authz };
  const isolated = { ...options, server };
  const running = await startTokens(isolated, authz, { ...context, envoy });
  const account = await findAccount(isolated, running, context);
  signal.throwIfAborted();
  const envoyVersion = configVersion(binary.version);
  for (const note of await writeConfig(options, { listen, authz, envoyVersion }, place)) step(note);
  parts.defer(envoy.kill);
  await envoy.start();
  return { envoy, server: running, listen, account };
}

/** Makes a private folder, which goes when this process ends, however it ends. */
async function makePlace({ parts, clock }: UpContext) {
  const { path } = parts.use(await makePrivateFolder("authz.sock", clock));
  const watchdog = await startWatchdog(path);
  parts.defer(watchdog.close);
  const paths = {
    config: join(path, "envoy.yaml"),
    adminAddress: join(path, "admin"),
    admin: join(path, "admin.sock"),
    authz: join(path, "authz.sock"),
    checkSecret: join(path, "check-secret"),
    secrets: path,
  };
  return { paths, watchdog };
}

/** Writes Envoy's config and resolves with what a person should know about it. */
async function writeConfig(
  { name, envoy }: UpOptions,
  chosen: Pick<EnvoyOptions, "listen" | "authz" | "envoyVersion">,
  { paths }: Awaited<ReturnType<typeof makePlace>>,
): Promise<readonly string[]> {
  const { text, losses } = renderEnvoyConfig(name, {
    ...envoy,
    ...chosen,
    secretsDir: await followCertificates(envoy.certDir, paths.secrets),
    admin: envoy.admin === "none" ? { kind: "unix", path: paths.admin } : envoy.admin,
  });
  await writeFile(paths.config, text, { mode: 0o600 });
  return [...losses, ...notesOn(envoy)];
}

/** Resolves with the folder of the files that make Envoy follow the certificates, if it has some. */
async function followCertificates(
  certDir: string | undefined,
  folder: string,
): Promise<string | undefined> {
  if (certDir === undefined) return undefined;
  for (const { name, text } of secretFiles(certDir)) await writeFile(join(folder, name), text);
  return folder;
}

/**
 * Copies the check secret, if there is one: Envoy reads it at its start only, so that both have to
 * go on with the same one until a restart.
 */
async function copyCheckSecret(server: UpOptions["server"], copy: string) {
  if (server.checkSecretFile === undefined) return { server };
  const secret = await readCheckSecret(server.checkSecretFile);
  await writeFile(copy, secret, { mode: 0o600 });
  return { server: { ...server, checkSecretFile: copy }, secret: { CHECK_SECRET: secret } };
}

/** Starts the auth server or, for a config without tokens, health and metrics alone. */
async function startTokens(
  { name, server }: UpOptions,
  listen: Address,
  context: UpContext & { readonly envoy: SupervisedEnvoy },
): Promise<RunningServer | undefined> {
  const { envoy, log, step, parts } = context;
  if (needsAuthServer(name)) {
    const running = await startServer({ ...server, listen }, context);
    parts.defer(running.close);
    const { type, principal } = running.credential;
    step(`auth server, with ${describeCredential(type, principal)}`);
    return running;
  }
  if (server.adminListen) parts.defer(await serveHealth(server.adminListen, envoy, log));
  return undefined;
}

function describeCredential(type: string, principal: string): string {
  return principal === "" ? `a credential (${type})` : `the credential of ${principal} (${type})`;
}

/**
 * Mints, if the config needs tokens, and calls the service, unless --no-probe was given. Resolves
 * with the account that the service sees, if any.
 */
async function findAccount(
  { envoy, server: { audiences }, probe }: UpOptions,
  server: RunningServer | undefined,
  { clock, step, signal }: UpContext,
): Promise<string | undefined> {
  if (!probe) return server?.credential.principal;
  const [audience = VERIFICATION_AUDIENCE] = audiences;
  const minted = server && (await probeMint(server, audience));
  if (minted !== undefined) step(describeFinding(minted));
  signal.throwIfAborted();
  const { service, connectTo, serviceCa } = envoy;
  if (service !== undefined) {
    const called = { service, connectTo, serviceCa, audience, timeoutMs: PROBE_TIMEOUT_MS };
    const cancel = clock.schedule(SLOW_MS, () =>
      step(`waiting for ${urlOf(service)}, of which an instance may be starting`),
    );
    const finding = await probeService(called, minted?.value).finally(cancel);
    step(describeFinding(finding));
  }
  return minted?.value.email;
}

function reportEvents({ log, step }: UpContext): EnvoyEvents {
  return {
    line: ({ level, text }) => log[level]({ event: "envoy_log" }, text),
    ended: (how, pauseMs) => {
      log.error({ event: "envoy_ended", how, restartInMs: pauseMs }, "Envoy ended by itself");
      step(`Envoy ended by itself (${how}): starting it again in ${pauseMs} ms`);
    },
    restarted: () => {
      log.info({ event: "envoy_restarted" }, "Envoy accepts connections again");
      step("Envoy accepts connections again");
    },
  };
}
