import type { TLSSocket } from "node:tls";
import { codeOf } from "../system/errors.ts";
import { CheckFailure } from "./checklist.ts";

/** There was no answer in time. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

const PROXY = "if only a proxy leads out, mints can use it (HTTPS_PROXY) but Envoy cannot";
const SILENT = `allow it through the firewall; ${PROXY}`;
const NO_WAY = `check this machine's network; ${PROXY}`;
const CUT = "a firewall or a proxy may be closing it, or something else listens there";

/** The system's error codes in words, with remedies. */
const FAULTS: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOTFOUND: ["the name does not exist", `check its spelling and this machine's DNS; ${PROXY}`],
  EAI_AGAIN: ["no DNS server answers", `check this machine's DNS; ${PROXY}`],
  ECONNREFUSED: ["connection refused", "check host, port and firewall"],
  ECONNRESET: ["the connection was closed", CUT],
  EPIPE: ["the connection was closed", CUT],
  ENOENT: ["there is no such socket", "check the path"],
  EACCES: ["permission to connect is denied", "check who may write to the socket"],
  EHOSTUNREACH: ["the host cannot be reached", NO_WAY],
  ENETUNREACH: ["the network cannot be reached", NO_WAY],
  ETIMEDOUT: ["no answer", SILENT],
  EPROTO: ["it does not speak TLS", "check the port"],
  ERR_SSL_WRONG_VERSION_NUMBER: ["it does not speak TLS", "check the port"],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ["it does not speak TLS", "check the port"],
};

/** What to do about a network failure with this code, if anything is known. */
export function remedyForNetwork(code: string): string | undefined {
  return FAULTS[code]?.[1];
}

/** Describes a network failure; `whom` names the other end. */
export function describeNetworkFault(whom: string, cause: unknown): CheckFailure {
  if (cause instanceof TimeoutError) return new CheckFailure(`${whom}: ${cause.message}`, SILENT);
  const code = codeOf(cause) ?? "unknown failure";
  const isHttp = code.startsWith("HPE_");
  const [reason, remedy] = isHttp
    ? ["it does not speak HTTP", "check the port"]
    : (FAULTS[code] ?? [code, undefined]);
  return new CheckFailure(`${whom}: ${reason}`, remedy, { code });
}

/** Why a certificate is rejected; `trustRemedy` is for one from an untrusted issuer. */
export function judgeCertificate(
  host: string,
  socket: Pick<TLSSocket, "authorizationError" | "getPeerCertificate">,
  trustRemedy: string,
): CheckFailure {
  const code = String(socket.authorizationError);
  const certificate = socket.getPeerCertificate();
  switch (code) {
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return new CheckFailure(
        `${host}: its certificate is valid from ${certificate.valid_from} to ${certificate.valid_to}`,
        `check this machine's clock, which says ${new Date().toUTCString()}`,
        { code },
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return new CheckFailure(
        `${host}: its certificate is for ${cut(certificate.subjectaltname ?? "no host")}`,
        "something else is answering: check the address, DNS and proxies",
        { code },
      );
    default: {
      const issuer = issuerOf(certificate);
      const message = `${host}: its certificate is from ${issuer}, which is not trusted here`;
      return new CheckFailure(message, trustRemedy, { code, issuer });
    }
  }
}

/** The name of a certificate's issuer. */
export function issuerOf({ issuer }: ReturnType<TLSSocket["getPeerCertificate"]>): string {
  const name = [issuer.O ?? issuer.CN ?? "an issuer without a name"].flat();
  return cut(name.join(", "));
}

/** The other end chooses its names, and their length. */
function cut(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
