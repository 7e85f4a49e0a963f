import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:http2";
import { connect as connectTls } from "node:tls";
import type { Google } from "./google.ts";

export interface BareTunnelOptions {
  readonly google: Google;
  readonly host: string;
  readonly method?: "POST" | "GET";
  readonly authorization?: string;
  /** PEM of the authority behind the tunnel server's certificate. */
  readonly tunnelCa: string;
  /** The client certificate, if it presents one. */
  readonly client?: { readonly cert: string; readonly key: string };
}

/** How far a bare tunnel got. */
export type BareTunnelOutcome =
  | { readonly status: number }
  /** The POST was accepted; `tls` is `accepted`, or how the mTLS handshake inside it failed. */
  | { readonly status: 200; readonly tls: string };

/**
 * Opens a tunnel without a client Envoy: a POST stream to the service with TLS inside it. Resolves
 * with how far it got.
 */
export async function openBareTunnel(options: BareTunnelOptions): Promise<BareTunnelOutcome> {
  const { google, host, method = "POST", authorization, tunnelCa, client } = options;
  await using direct = await openStream(google, host, method, authorization);
  const { stream, status } = direct;
  if (status !== 200) return { status };
  const tls = connectTls({ socket: stream, ca: tunnelCa, servername: "tunnel-server", ...client });
  const { promise, resolve } = Promise.withResolvers<string>();
  tls.once("data", () => resolve("accepted"));
  tls.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  tls.once("close", () => resolve("closed"));
  return { status, tls: await promise };
}

/** Sends a service a GET without a token, bypassing Envoy. Resolves with the status. */
export async function requestWithoutToken(google: Google, host: string): Promise<number> {
  await using direct = await openStream(google, host, "GET", undefined);
  return direct.status;
}

async function openStream(
  google: Google,
  host: string,
  method: "POST" | "GET",
  authorization: string | undefined,
) {
  const session = connect(`https://127.0.0.1:${google.cloudRun.port}`, {
    ca: await readFile(google.caFile),
    servername: host,
  });
  const stream = session.request({
    ":method": method,
    ":path": "/",
    ":authority": host,
    ...(authorization !== undefined && { authorization }),
  });
  const [headers] = (await once(stream, "response")) as [{ ":status": number }];
  const close = async () => session.destroy();
  return { stream, status: headers[":status"], [Symbol.asyncDispose]: close };
}
