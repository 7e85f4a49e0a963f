import { isIP, type Socket } from "node:net";
import { CHECK_SECRET_HEADER, readCheckSecret } from "../access/check-secret.ts";
import type { AuthServerAddress } from "../envoy/values.ts";
import { formatAddress, type Address, type TcpAddress } from "../system/address.ts";
import { StartError } from "../system/errors.ts";
import { judgeAnswer } from "./authz-answer.ts";
import {
  checkCertificateFiles,
  type CertificateFiles,
  type CertificateUse,
} from "./certificate-files.ts";
import { CheckFailure, type Checklist, type Finding } from "./checklist.ts";
import { describeTls } from "./endpoint-checks.ts";
import type { Minted } from "./mint-check.ts";
import { askForText, openSocket, resolveHost, startTls } from "./network.ts";

export interface AuthzOptions {
  readonly authz: AuthServerAddress;
  /** Folder with ca.crt, client.crt and client.key, for an auth server over TLS. */
  readonly authzCertDir: string;
  readonly checkSecretFile: string | undefined;
  /** The audience that the check names, if any. */
  readonly audience: string | undefined;
  readonly timeoutMs: number;
}

const OF_AUTH_SERVER: CertificateUse = {
  server: "the auth server",
  remedy: "check --authz-cert-dir",
};

/**
 * Checks the way to an auth server as an Envoy goes it, to a token. Resolves with the token if every
 * step worked.
 */
export async function checkAuthServer(
  options: AuthzOptions,
  { check }: Checklist,
): Promise<Minted | undefined> {
  const { authz, authzCertDir } = options;
  if (authz.kind === "unix") {
    const socket = await check("socket", authz, (address) => open(address, options));
    return check("token", socket, (opened) => getToken(opened, undefined, options));
  }
  const isTls = authz.kind === "https";
  const files = isTls
    ? await check("certs", authzCertDir, (folder) =>
        checkCertificateFiles(folder, OF_AUTH_SERVER, new Date()),
      )
    : undefined;
  const address = await check("dns", tcpOf(authz), (to) => resolve(to, options));
  const socket = await check("tcp", address, (to) => open(to, options));
  try {
    const ready = isTls
      ? await check("tls", files && socket && { files, socket }, (on) => secure(on, authz, options))
      : socket;
    return await check("token", ready, (on) => getToken(on, files, options));
  } finally {
    socket?.destroy();
  }
}

function tcpOf({ host, port }: Exclude<AuthServerAddress, { kind: "unix" }>): TcpAddress {
  return { kind: "tcp", host, port };
}

async function resolve(to: TcpAddress, { timeoutMs }: AuthzOptions): Promise<Finding<TcpAddress>> {
  const { host } = to;
  if (isIP(host) !== 0) return { message: `${host} is an IP address`, value: to };
  const addresses = await resolveHost(host, timeoutMs);
  const message = `${host} is ${addresses.join(", ")}`;
  return { message, facts: { host, addresses: addresses.join(" ") }, value: to };
}

const NOT_RUNNING = "start the auth server, or check --authz against its --listen";
const REMEDIES_TO_CONNECT = {
  ECONNREFUSED: NOT_RUNNING,
  ENOENT: NOT_RUNNING,
  EACCES: "let this user write to the socket, or join the group that owns it",
};

async function open(to: Address, { timeoutMs }: AuthzOptions): Promise<Finding<Socket>> {
  const socket = await withRemedies(REMEDIES_TO_CONNECT, () => openSocket(to, timeoutMs));
  return { message: `${formatAddress(to)} accepts connections`, value: socket };
}

async function secure(
  { files, socket }: { readonly files: CertificateFiles; readonly socket: Socket },
  { host }: TcpAddress | Extract<AuthServerAddress, { kind: "https" }>,
  { timeoutMs, authzCertDir }: AuthzOptions,
): Promise<Finding<Socket>> {
  const { ca, identity } = files;
  const trustRemedy = `put the CA that issued it into ${authzCertDir}/ca.crt, or check the address`;
  const remedies = {
    CERT_HAS_EXPIRED: "renew the auth server's certificate, or set this machine's clock",
    ERR_TLS_CERT_ALTNAME_INVALID: `give --authz a host that it is for, or the auth server a certificate for ${host}`,
  };
  const secured = await withRemedies(remedies, () =>
    startTls(socket, { host, ca, identity, trustRemedy, timeoutMs }),
  );
  return { ...describeTls(secured, host), value: secured };
}

async function getToken(
  socket: Socket,
  files: CertificateFiles | undefined,
  { authz, audience, checkSecretFile, timeoutMs }: AuthzOptions,
): Promise<Finding<Minted>> {
  const whom = authz.kind === "https" ? `${authz.host}:${authz.port}` : formatAddress(authz);
  const secret = await readSecret(checkSecretFile);
  const headers = {
    host: authz.kind === "unix" ? "localhost" : authz.host,
    ...(audience !== undefined && { "x-id-token-audience": audience }),
    ...(secret !== undefined && { [CHECK_SECRET_HEADER]: secret }),
  };
  const question = { method: "GET", target: "/check", headers, whom, timeoutMs };
  const answer = await askForText(socket, question).catch((error: unknown) => {
    throw describeClosed(error, whom, files);
  });
  return judgeAnswer(answer, {
    whom,
    audience,
    names: files?.names ?? [],
    hasSecret: secret !== undefined,
  });
}

async function readSecret(path: string | undefined): Promise<string | undefined> {
  try {
    return path === undefined ? undefined : await readCheckSecret(path);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new CheckFailure(error.message, "check --check-secret-file");
  }
}

/** With TLS 1.3, a client learns only by its first read that its certificate was not accepted. */
function describeClosed(
  error: unknown,
  whom: string,
  files: CertificateFiles | undefined,
): unknown {
  if (!(error instanceof CheckFailure)) return error;
  const code = String(error.facts?.["code"]);
  if (!/^(?:ECONNRESET|EPIPE)$|ALERT/.test(code)) return error;
  if (files === undefined) {
    const remedy = "if it has TLS, ask it by --authz https://HOST:PORT";
    return new CheckFailure(error.message, remedy, error.facts);
  }
  return new CheckFailure(
    `${whom} ended the connection after the handshake: it does not accept the client's certificate`,
    "have the auth server's --client-ca contain the CA that issued client.crt",
    error.facts,
  );
}

/** Runs a step, with remedies of its own for some codes of its failures. */
async function withRemedies<T>(
  remedies: Readonly<Record<string, string>>,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const code = error instanceof CheckFailure ? String(error.facts?.["code"]) : "";
    const remedy = remedies[code];
    if (!(error instanceof CheckFailure) || remedy === undefined) throw error;
    throw new CheckFailure(error.message, remedy, error.facts);
  }
}
