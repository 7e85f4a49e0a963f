import type { TLSSocket } from "node:tls";
import { codeOf } from "../system/errors.ts";
import { CheckFailure } from "./checklist.ts";

/** Nothing came in time. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";

  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs} ms`);
  }
}

const PROXY = "where only a proxy leads out, mints can take it (HTTPS_PROXY), Envoy cannot";
const SILENT = `let it through the firewall; ${PROXY}`;
const NO_WAY = `check this machine's network; ${PROXY}`;
const CUT = "a firewall or a proxy may cut it, or something else listens there";

/** The system's codes in words, and what to do. */
const FAULTS: Readonly<Record<string, readonly [reason: string, remedy: string]>> = {
  ENOTFOUND: ["there is no such name", `check its spelling and this machine's DNS; ${PROXY}`],
  EAI_AGAIN: ["no DNS server answers", `check this machine's DNS; ${PROXY}`],
  ECONNREFUSED: ["the connection is refused", "check host and port, and the firewall"],
  ECONNRESET: ["the connection is cut", CUT],
  EPIPE: ["the connection is cut", CUT],
  EHOSTUNREACH: ["the host cannot be reached", NO_WAY],
  ENETUNREACH: ["the network cannot be reached", NO_WAY],
  ETIMEDOUT: ["no answer", SILENT],
  EPROTO: ["it does not speak TLS", "check the port"],
  ERR_SSL_WRONG_VERSION_NUMBER: ["it does not speak TLS", "check the port"],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ["it does not speak TLS", "check the port"],
};

/** A failure of the network in words; `whom` is the other end as a person knows it. */
export function describeNetworkFault(whom: string, cause: unknown): CheckFailure {
  if (cause instanceof TimeoutError) return new CheckFailure(`${whom}: ${cause.message}`, SILENT);
  const code = codeOf(cause) ?? "unknown failure";
  const isHttp = code.startsWith("HPE_");
  const [reason, remedy] = isHttp
    ? ["it does not speak HTTP", "check the port"]
    : (FAULTS[code] ?? [code, undefined]);
  return new CheckFailure(`${whom}: ${reason}`, remedy, { code });
}

/** Why a certificate is refused; `trustRemedy` is for one that nobody trusted vouches for. */
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
        `${host}: its certificate is for ${cut(certificate.subjectaltname ?? "no host at all")}`,
        "something else answers in its place: check the address, DNS and proxies",
        { code },
      );
    default: {
      const issuer = issuerOf(certificate);
      const message = `${host}: its certificate is from ${issuer}, which is not trusted here`;
      return new CheckFailure(message, trustRemedy, { code, issuer });
    }
  }
}

/** Who issued a certificate, as it says itself. */
export function issuerOf({ issuer }: ReturnType<TLSSocket["getPeerCertificate"]>): string {
  const name = [issuer.O ?? issuer.CN ?? "an issuer without a name"].flat();
  return cut(name.join(", "));
}

/** Names are the other end's to choose, and so is their length. */
function cut(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
