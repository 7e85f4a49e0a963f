import { once } from "node:events";
import { createServer as createHttp1Server } from "node:http";
import { constants, performServerHandshake } from "node:http2";
import type { Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { JWTVerifyGetKey } from "jose";
import type { CertificateAuthority } from "../../src/envoy/certificates.ts";
import {
  admit,
  type AccessRule,
  type CallerIdentity,
  type RefusalReason,
} from "./cloud-run-identity.ts";
import { createJournal } from "./journal.ts";
import { listenOnLoopback } from "./loopback.ts";
import { callerByHttp1, containerByHttp1 } from "./relay-http1.ts";
import {
  callerByHttp2,
  CONNECTION_WINDOW_BYTES,
  containerByH2c,
  HTTP2_OPTIONS,
} from "./relay-http2.ts";
import { callerByUpgrade, containerByUpgrade } from "./relay-upgrade.ts";
import { refuse, relay, type Caller, type OpenContainer } from "./relay.ts";

export interface CloudRunService extends AccessRule {
  /** As in `tunnel-abc123-ew.a.run.app`. */
  readonly host: string;
  /** Where its container listens on this machine. */
  readonly containerPort: number;
  /** `h2c` for a service deployed with `--use-http2`. */
  readonly containerProtocol: "h2c" | "http1";
}

export interface CloudRunOptions {
  readonly ca: CertificateAuthority;
  readonly services: readonly CloudRunService[];
  /** Finds the key that verifies an ID token. */
  readonly verify: JWTVerifyGetKey;
}

/** One request that was answered. */
export interface CloudRunRequest {
  /** The service's host; undefined when there is no such service. */
  readonly service: string | undefined;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** The caller, if its token is valid. */
  readonly identity: CallerIdentity | undefined;
  readonly refused: RefusalReason | undefined;
}

export interface CloudRun extends AsyncDisposable {
  readonly port: number;
  /** Every request so far, recorded when its status is sent. */
  readonly requests: readonly CloudRunRequest[];
  readonly nextRequest: () => Promise<CloudRunRequest>;
  /** How many requests were refused for this reason, or for any reason if none is given. */
  readonly refused: (reason?: RefusalReason) => number;
  /** Ends every request in progress, as Cloud Run does when its time is up. */
  readonly endRequests: () => void;
  /** Closes all connections on both sides and stops. */
  readonly close: () => Promise<void>;
}

/**
 * Starts a stand-in for Cloud Run's front end: TLS with a wildcard certificate for its services,
 * HTTP/2 and HTTP/1.1, ID tokens verified as Cloud Run does, requests passed on to containers.
 */
export async function startCloudRun(options: CloudRunOptions): Promise<CloudRun> {
  const journal = createJournal<CloudRunRequest>();
  const containers = createContainers(options.services);
  const inProgress = new Set<Caller>();
  const serve = (caller: Caller) => {
    inProgress.add(caller);
    caller.onGone(() => inProgress.delete(caller));
    // Some requests cannot be passed on, such as CONNECT.
    serveCaller(caller, options, containers.openers, journal.record).catch(() =>
      caller.reset(constants.NGHTTP2_INTERNAL_ERROR),
    );
  };
  const http1 = createHttp1Server({ maxHeaderSize: 1_048_576 }, (incoming, outgoing) =>
    serve(callerByHttp1(incoming, outgoing)),
  );
  http1.on("upgrade", (incoming, socket, early) => serve(callerByUpgrade(incoming, socket, early)));
  http1.requestTimeout = 0;
  const open = new Set<Socket>();
  const tls = createTlsServer(await tlsOptions(options), (socket) => {
    socket.on("error", () => {});
    if (socket.alpnProtocol === "h2") acceptHttp2(socket, serve);
    else http1.emit("connection", socket);
  });
  tls.on("connection", (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  const port = await listenOnLoopback(tls);

  async function close(): Promise<void> {
    journal.close();
    containers.close();
    if (!tls.listening) return;
    const closed = once(tls, "close");
    tls.close();
    for (const socket of open) socket.destroy();
    await closed;
  }

  return {
    port,
    requests: journal.entries,
    nextRequest: journal.next,
    refused: (reason) =>
      journal.entries.filter(({ refused }) =>
        reason === undefined ? refused !== undefined : refused === reason,
      ).length,
    endRequests: () => {
      for (const caller of inProgress) caller.reset(constants.NGHTTP2_INTERNAL_ERROR);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function tlsOptions({ ca, services }: CloudRunOptions) {
  const wildcards = services.map(({ host }) => host.replace(/^[^.]+/, "*"));
  const dnsNames = [...new Set(wildcards)];
  const usage = "server";
  const issued = await ca.issue({ commonName: dnsNames[0] ?? "", dnsNames, usage, days: 1 });
  return {
    cert: issued.certificatePem,
    key: issued.privateKeyPem,
    ALPNProtocols: ["h2", "http/1.1"],
  };
}

function acceptHttp2(socket: TLSSocket, serve: (caller: Caller) => void): void {
  const session = performServerHandshake(socket, HTTP2_OPTIONS);
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  // Its streams report the error.
  session.on("error", () => {});
  session.on("stream", (stream, headers) =>
    serve(callerByHttp2(stream, headers, socket.remoteAddress ?? "")),
  );
}

function createContainers(services: readonly CloudRunService[]) {
  const closers: (() => void)[] = [];
  const openers = new Map<CloudRunService, OpenContainer>();
  for (const service of services) {
    if (service.containerProtocol === "http1") {
      openers.set(service, containerByHttp1(service.containerPort));
    } else {
      const container = containerByH2c(service.containerPort);
      openers.set(service, container.open);
      closers.push(container.close);
    }
  }
  return { openers, close: () => closers.forEach((end) => end()) };
}

const UNVERIFIED =
  'Bearer error="invalid_token" error_description="The access token could not be verified"';

async function serveCaller(
  caller: Caller,
  { services, verify }: CloudRunOptions,
  openers: ReadonlyMap<CloudRunService, OpenContainer>,
  record: (request: CloudRunRequest) => void,
): Promise<void> {
  const { method, path, authority, headers } = caller.head;
  const host = authority.replace(/:\d+$/, "").toLowerCase();
  const service = services.find((each) => each.host === host);
  const isUpgrade = service?.containerProtocol === "http1" && "upgrade" in headers;
  const open = isUpgrade
    ? containerByUpgrade(service.containerPort)
    : service && openers.get(service);
  const request = { service: service?.host, method, path, identity: undefined, refused: undefined };
  if (service === undefined || open === undefined) {
    record({ ...request, status: 404 });
    return refuse(caller, 404, "Page not found");
  }
  const admission = await admit(service, headers, verify);
  if ("refused" in admission) {
    const { status, refused, identity } = admission;
    record({ ...request, identity, refused, status });
    return status === 401
      ? refuse(caller, 401, "Unauthorized", { "www-authenticate": UNVERIFIED })
      : refuse(caller, 403, "Forbidden");
  }
  const { identity } = admission;
  const forwardedFor = [headers["x-forwarded-for"], caller.remoteAddress].flat();
  const head = {
    ...caller.head,
    headers: {
      ...admission.headers,
      "x-forwarded-proto": "https",
      "x-forwarded-for": forwardedFor.filter(Boolean).join(","),
    },
  };
  relay(caller, head, open, (status) => record({ ...request, identity, status }));
}
