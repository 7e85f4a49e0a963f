import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { request, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { formatAddress, type TcpAddress } from "../system/address.ts";
import { describeNetworkFault, judgeCertificate, TimeoutError } from "./network-fault.ts";

// Each step of a connection stands alone, is bounded in time, and throws a CheckFailure.

/** Waits for `work`, but no longer than this. Rejects with a TimeoutError. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new TimeoutError(timeoutMs)), timeoutMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves a name as connections do, with the system's resolver. */
export async function resolveHost(host: string, timeoutMs: number): Promise<readonly string[]> {
  try {
    const found = await within(timeoutMs, lookup(host, { all: true }));
    return found.map(({ address }) => address);
  } catch (cause) {
    // This silence is the DNS server's.
    throw describeNetworkFault(host, cause instanceof TimeoutError ? { code: "EAI_AGAIN" } : cause);
  }
}

/** Opens a TCP connection. */
export async function openTcp(address: TcpAddress, timeoutMs: number): Promise<Socket> {
  const socket = connect({ host: address.host, port: address.port });
  await settle(socket, "connect", formatAddress(address), timeoutMs);
  return socket;
}

export interface TlsOptions {
  /** Whom the certificate must be for. */
  readonly host: string;
  /** PEM; the CAs that Node trusts unless told otherwise. */
  readonly ca?: string | undefined;
  /** What to do when nobody trusted vouches for the certificate. */
  readonly trustRemedy: string;
  readonly timeoutMs: number;
}

/** Begins TLS on a connection; the certificate has been verified when it resolves. */
export async function startTls(socket: Socket, options: TlsOptions): Promise<TLSSocket> {
  const { host, ca, timeoutMs, trustRemedy } = options;
  const servername = isIP(host) === 0 ? { servername: host } : {};
  // Refused below instead: by then it is known who issued the certificate.
  const secured = connectTls({ socket, host, ...servername, ca, rejectUnauthorized: false });
  await settle(secured, "secureConnect", host, timeoutMs);
  if (secured.authorized) return secured;
  const failure = judgeCertificate(host, secured, trustRemedy);
  secured.destroy();
  throw failure;
}

export interface Question {
  readonly method: string;
  /** A path or, where it is asked of a proxy, a whole URL or HOST:PORT. */
  readonly target: string;
  readonly headers: OutgoingHttpHeaders;
  /** Who is asked, as a person knows it. */
  readonly whom: string;
  readonly timeoutMs: number;
}

/** Asks one question on a connection, which ends with it. Of the answer only its head is read. */
export async function ask(socket: Socket, question: Question): Promise<IncomingMessage> {
  try {
    return await exchange(socket, question, "response");
  } finally {
    socket.destroy();
  }
}

/** Asks a proxy to connect this connection to HOST:PORT, the target. */
export async function askForTunnel(
  socket: Socket,
  question: Omit<Question, "method">,
): Promise<IncomingMessage> {
  return exchange(socket, { ...question, method: "CONNECT" }, "connect");
}

async function exchange(
  socket: Socket,
  { method, target, headers, whom, timeoutMs }: Question,
  event: "response" | "connect",
): Promise<IncomingMessage> {
  // Its own connection: no pool, and no proxy but where this one leads.
  const asking = request({ createConnection: () => socket, method, path: target, headers });
  asking.end();
  // What comes after the answer, or too late, concerns nobody.
  asking.on("error", () => {});
  try {
    const [answer] = (await within(timeoutMs, once(asking, event))) as [IncomingMessage];
    return answer;
  } catch (cause) {
    socket.destroy();
    throw describeNetworkFault(whom, cause);
  }
}

/** Waits for a connection to come that far; it is destroyed when it does not. */
async function settle(
  socket: Socket,
  event: "connect" | "secureConnect",
  whom: string,
  timeoutMs: number,
): Promise<void> {
  // Between two steps nobody listens; the next one tells of it.
  socket.on("error", () => {});
  try {
    await within(timeoutMs, once(socket, event));
  } catch (cause) {
    socket.destroy();
    throw describeNetworkFault(whom, cause);
  }
}
