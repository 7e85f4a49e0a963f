import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { requestWithoutToken, openBareTunnel } from "../support/bare-tunnel.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnel, TUNNEL_HOST, type Tunnel } from "../support/tunnel.ts";
import { keepRunning, print, step, type CommandToTry, type DemoFlags } from "./print.ts";

const DRAWING = `
  TCP client ── Envoy ══ TLS, HTTP/2 POST ══ Cloud Run ── Envoy ── TCP server
                │   ╰──────────────── mTLS ───────────────╯
           auth server ── Google's token endpoint
`;
const IN_TIME = { timeoutMs: 10_000 };

/** Demonstrates the tunnel: what it refuses, and the banner of the TCP server behind it. */
export async function demoTunnel({ push, keep }: DemoFlags): Promise<void> {
  print(DRAWING);
  const client = push ? "tunnel-client-push" : "tunnel-client";
  await using tunnel = await startTunnel({ onStep: step, client });
  step(await directWithoutToken(tunnel));
  step(await withoutClientCertificate(tunnel));
  if (push && !keep) {
    await tunnel.authServer.stop("SIGKILL");
    step("✓ the auth server is killed; Envoy has a token and does not need it");
  }
  const banner = await readBanner(tunnel.port, IN_TIME);
  step("✓ a TCP client receives, through the tunnel:");
  print(`\n${banner}\n`);
  if (keep) await keepRunning(commandsToTry(tunnel), nearEnds(tunnel));
}

async function directWithoutToken({ google }: Tunnel): Promise<string> {
  const status = await requestWithoutToken(google, TUNNEL_HOST);
  if (status !== 403) throw new Error(`a request without a token got ${status}`);
  return "✓ a direct request to Cloud Run without a token is denied: 403";
}

async function withoutClientCertificate({ google, authServer, certDir }: Tunnel): Promise<string> {
  const check = await fetch(`${authServer.url}/check`);
  const outcome = await openBareTunnel({
    google,
    host: TUNNEL_HOST,
    authorization: check.headers.get("authorization") ?? "",
    tunnelCa: await readFile(join(certDir, "ca.crt"), "utf8"),
  });
  const tls = "tls" in outcome ? outcome.tls : `status ${outcome.status}`;
  if (!tls.includes("CERTIFICATE_REQUIRED")) throw new Error(`without a certificate: ${tls}`);
  return "✓ a tunnel with a token but without a client certificate is refused: certificate required";
}

function commandsToTry({ port, authServer, tunnelClient }: Tunnel): readonly CommandToTry[] {
  return [
    [`nc 127.0.0.1 ${port}`, "the TCP server echoes what you type"],
    [`curl -i ${authServer.url}/check`, "what Envoy gets for a check"],
    [`curl -i ${authServer.url}/readyz`, "whether there are tokens"],
    [`curl ${authServer.url}/metrics`, "the auth server's metrics"],
    [`curl 127.0.0.1:${tunnelClient.adminPort}/clusters`, "Envoy's clusters"],
  ];
}

function nearEnds({ google, certDir }: Tunnel): readonly (readonly string[])[] {
  const flags = [`--credentials=${google.keyFile}`, ...google.serviceFlags(TUNNEL_HOST)];
  return [
    ["npm run -s doctor --", ...flags],
    ["npm run -s up -- tunnel-client-push", ...flags, `--cert-dir=${certDir}`],
  ];
}
