import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { openBareTunnel } from "./support/bare-tunnel.ts";
import { readBanner } from "./support/tcp-service.ts";
import { startTunnel, TUNNEL_HOST, type Tunnel } from "./support/tunnel.ts";

const HELP = `Usage: npm run demo [-- --keep]

Starts the whole path of a TCP connection on this machine, with stand-ins for Google alone, and
shows what gets through and what does not.

  --keep  leave it running until Ctrl-C, and print what to try
`;

const DRAWING = `
  TCP client ── Envoy ══ TLS, HTTP/2 POST ══ Cloud Run ── Envoy ── TCP server
                │   ╰──────────────── mTLS ───────────────╯
           auth server ── Google's token endpoint
`;

const print = (text: string) => void process.stdout.write(`${text}\n`);
const step = (text: string) =>
  print(`${(performance.now() / 1000).toFixed(1).padStart(5)} s  ${text}`);

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const options = { keep: { type: "boolean" }, help: { type: "boolean" } } as const;
  let flags;
  try {
    flags = parseArgs({ args, options }).values;
  } catch (error) {
    process.stderr.write(`${String(error)}\n\n${HELP}`);
    return 2;
  }
  if (flags.help === true) {
    print(HELP);
    return 0;
  }
  // What was started is ended, and every folder removed, as this process exits.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  try {
    await demo(flags.keep === true);
    return 0;
  } catch (error) {
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : "?"}\n`);
    return 1;
  }
}

async function demo(keep: boolean): Promise<void> {
  print(DRAWING);
  await using tunnel = await startTunnel({ onStep: step });
  step(await directWithoutToken(tunnel));
  step(await withoutClientCertificate(tunnel));
  const banner = await readBanner(tunnel.port, { timeoutMs: 10_000 });
  step("✓ a TCP client at the tunnel's near end receives, from its far end:");
  print(`\n${banner}\n`);
  if (!keep) return;
  print(whatToTry(tunnel));
  await new Promise(() => {});
}

async function directWithoutToken({ google, certDir }: Tunnel): Promise<string> {
  const tunnelCa = await readFile(join(certDir, "ca.crt"), "utf8");
  const outcome = await openBareTunnel({ google, host: TUNNEL_HOST, tunnelCa });
  if (outcome.status !== 403) throw new Error(`a request without a token got ${outcome.status}`);
  return "✓ a direct request to Cloud Run without a token is refused: 403";
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
  return "✓ a tunnel with a token and without a client certificate is refused: certificate required";
}

function whatToTry({ port, authServer, google, tunnelClient }: Tunnel): string {
  return `Everything is still running. Try:

  nc 127.0.0.1 ${port}                        # the TCP server echoes what you type
  curl -i ${authServer.url}/check       # what Envoy is told
  curl -i ${authServer.url}/readyz
  curl ${authServer.url}/metrics
  curl 127.0.0.1:${tunnelClient.adminPort}/clusters              # Envoy's view
  curl -i --cacert ${google.caFile} \\
    --connect-to ${TUNNEL_HOST}:443:127.0.0.1:${google.cloudRun.port} https://${TUNNEL_HOST}/    # 403

Ctrl-C ends it all.
`;
}
