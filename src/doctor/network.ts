import { lookup } from "node:dns/promises";
import { once } from "node:events";
import {
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { formatAddress, type Address } from "../system/address.ts";
import { readBounded } from "../system/bounded-body.ts";
import { CheckFailure } from "./checklist.ts";
import { describeNetworkFault, judgeCertificate, TimeoutError } from "./network-fault.ts";

const MAX_BODY_BYTES = 65_536;

// Each function is one step of a connection, bounded in time, and throws a CheckFailure.

/** Waits for `work` for at most `timeoutMs`. Rejects with a TimeoutError. */
async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new TimeoutError(timeoutMs)), timeoutMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves a name with the system's resolver, as connections do. */
export async function resolveHost(host: string, timeoutMs: number): Promise<readonly string[]> {
  try {
    const found = await within(timeoutMs, lookup(host, { all: true }));
    return found.map(({ address }) => address);
  } catch (cause) {
    // Here it is the DNS server that does not answer.
    throw describeNetworkFault(host, cause instanceof TimeoutError ? { code: "EAI_AGAIN" } : cause);
  }
}

/** Connects by TCP or to a Unix socket. */
export async function openSocket(address: Address, timeoutMs: number): Promise<Socket> {
  const socket = connect(address.kind === "unix" ? { path: address.path } : address);
  await settle(socket, "connect", formatAddress(address), timeoutMs);
  return socket;
}

export interface TlsOptions {
  /** The host that the certificate must be valid for. */
  readonly host: string;
  /** PEM; the default is the CAs that Node trusts. */
  readonly ca?: string | undefined;
  /** This end's certificate and key, in PEM. */
  readonly identity?: { readonly cert: string; readonly key: string } | undefined;
  /** How to fix an untrusted certificate. */
  readonly trustRemedy: string;
  readonly timeoutMs: number;
}

/** Starts TLS on a connection and verifies the certificate. */
export async function startTls(socket: Socket, options: TlsOptions): Promise<TLSSocket> {
  const { host, ca, identity, timeoutMs, trustRemedy } = options;
  const servername = isIP(host) === 0 ? { servername: host } : {};
  // Verified below instead, where the certificate's issuer is known.
  const secured = connectTls({
    socket,
    host,
    ...servername,
    ca,
    ...identity,
    rejectUnauthorized: false,
  });
  await settle(secured, "secureConnect", host, timeoutMs);
  if (secured.authorized) return secured;
  const failure = judgeCertificate(host, secured, trustRemedy);
  secured.destroy();
  throw failure;
}

export interface Question {
  readonly method: string;
  /** A path or, for a proxy, a whole URL or HOST:PORT. */
  readonly target: string;
  readonly headers: OutgoingHttpHeaders;
  /** The name of the other end, for messages. */
  readonly whom: string;
  readonly timeoutMs: number;
}

/** Sends one request and closes the connection; reads only the head of the answer. */
export async function ask(socket: Socket, question: Question): Promise<IncomingMessage> {
  try {
    return await exchange(socket, question, "response");
  } finally {
    socket.destroy();
  }
}

/** What `askForText` has read. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Empty if it is too long. */
  readonly body: string;
}

/** Like `ask`, but reads the answer's body, too. */
export async function askForText(socket: Socket, question: Question): Promise<Answer> {
  try {
    const answer = await exchange(socket, question, "response");
    const { statusCode: status = 0, headers } = answer;
    const body = await within(question.timeoutMs, readBounded(answer, MAX_BODY_BYTES));
    return { status, headers, body: body ?? "" };
  } catch (cause) {
    if (cause instanceof CheckFailure) throw cause;
    throw describeNetworkFault(question.whom, cause);
  } finally {
    socket.destroy();
  }
}

/** Asks a proxy for a tunnel to the target, HOST:PORT. */
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
  // This connection only: no pool, and no other proxy.
  const asking = request({ createConnection: () => socket, method, path: target, headers });
  asking.end();
  // Errors after the answer, or after the timeout, do not matter.
  asking.on("error", () => {});
  try {
    const [answer] = (await within(timeoutMs, once(asking, event))) as [IncomingMessage];
    return answer;
  } catch (cause) {
    socket.destroy();
    throw describeNetworkFault(whom, cause);
  }
}

/** Waits for a step of a connection, and destroys the connection if the step fails. */
async function settle(
  socket: Socket,
  event: "connect" | "secureConnect",
  whom: string,
  timeoutMs: number,
): Promise<void> {
  // An error between two steps is reported by the next step.
  socket.on("error", () => {});
  try {
    await within(timeoutMs, once(socket, event));
  } catch (cause) {
    socket.destroy();
    throw describeNetworkFault(whom, cause);
  }
}
