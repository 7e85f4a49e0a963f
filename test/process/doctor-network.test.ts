import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { startHttpProxy, type HttpProxyOptions } from "../support/http-proxy.ts";
import { runDoctor } from "../support/doctor.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { createServiceAccount, type ServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";
import { startTlsFront } from "../support/tls-front.ts";
import { startTokenEndpoint, type TokenEndpoint } from "../support/token-endpoint.ts";

const GOOGLE = "oauth2.googleapis.com";

let endpoint: TokenEndpoint;
let ca: CertificateAuthority;
let account: ServiceAccount;
let folder: AsyncDisposable & { readonly path: string };
/** The environment that makes Node trust the stand-in's CA. */
let trust: NodeJS.ProcessEnv;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  endpoint = await startTokenEndpoint();
  ca = await createCertificateAuthority("stand-in for Google's CA");
  account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
  trust = { NODE_EXTRA_CA_CERTS: `${folder.path}/ca.crt` };
  await writeFile(`${folder.path}/ca.crt`, ca.certificatePem);
});
afterAll(async () => {
  await endpoint?.close();
  await folder?.[Symbol.asyncDispose]();
});

/** Runs doctor with the account's key and another endpoint in the key file. */
async function runAgainst(tokenUri: string, env: NodeJS.ProcessEnv = {}, timeout = "5s") {
  const path = `${folder.path}/key.json`;
  const keyFile = JSON.stringify({ ...account.keyFile, token_uri: tokenUri });
  await writeFile(path, keyFile, { mode: 0o600 });
  return runDoctor([`--credentials=${path}`, "--audience=a", `--timeout=${timeout}`], env);
}

describe("doctor on DNS and TCP", () => {
  it("reports a name that does not exist", async () => {
    const { code, lines, marks } = await runAgainst("https://oauth2.invalid/token");
    // On a machine without a DNS server it reports that instead.
    expect(lines["dns"]).toMatch(
      /^✗ oauth2\.invalid: (the name does not exist|no DNS server answers) → check .*this machine's DNS; if only a proxy leads out, mints can use it \(HTTPS_PROXY\) but Envoy cannot$/,
    );
    expect(lines["tls"]).toBe("- not checked because dns failed");
    expect(marks).toBe("✓✓✗----");
    expect(code).toBe(1);
  });

  it("shows a name's addresses and reports a port on which nothing listens", async () => {
    const { code, lines, marks } = await runAgainst("https://localhost:1/token");
    expect(lines["dns"]).toMatch(/^✓ localhost is (127\.0\.0\.1|::1)( and 1 more)?$/);
    expect(lines["tcp"]).toBe("✗ localhost:1: connection refused → check host, port and firewall");
    expect(marks).toBe("✓✓✓✗---");
    expect(code).toBe(1);
  });
});

describe("doctor on TLS", () => {
  it("passes for a trusted certificate, and goes on to the mint", async () => {
    await using front = await startTlsFront({ ca, host: "localhost", port: portOf(endpoint.url) });
    const { code, lines } = await runAgainst(`https://localhost:${front.port}/token`, trust);
    expect(lines["tls"]).toMatch(
      /^✓ TLSv1\.3, certificate for localhost from stand-in for Google's CA, valid to /,
    );
    expect(lines["mint"]).toMatch(/^✓ /);
    expect(code).toBe(0);
  });

  it("reports a certificate of an untrusted CA", async () => {
    await using front = await startTlsFront({ ca, host: "localhost", port: portOf(endpoint.url) });
    const { code, lines, marks } = await runAgainst(`https://localhost:${front.port}/token`);
    expect(lines["tls"]).toBe(
      "✗ localhost: its certificate is from stand-in for Google's CA, which is not trusted here → " +
        "if a proxy or firewall inspects TLS, have Node trust its CA: NODE_EXTRA_CA_CERTS=FILE",
    );
    expect(lines["clock"]).toBe("- not checked because tls failed");
    expect(marks).toBe("✓✓✓✓✗--");
    expect(code).toBe(1);
  });

  it("reports a certificate for another host and an expired one", async () => {
    const port = portOf(endpoint.url);
    await using other = await startTlsFront({ ca, host: GOOGLE, port });
    const mismatch = await runAgainst(`https://localhost:${other.port}/token`, trust);
    expect(mismatch.lines["tls"]).toBe(
      `✗ localhost: its certificate is for DNS:${GOOGLE} → something else is answering: ` +
        "check the address, DNS and proxies",
    );
    const from = new Date(Date.now() - 10 * 86_400_000);
    await using old = await startTlsFront({ ca, host: "localhost", port, from });
    const expired = await runAgainst(`https://localhost:${old.port}/token`, trust);
    expect(expired.lines["tls"]).toMatch(
      /^✗ localhost: its certificate is valid from .* to .* → check this machine's clock, which says /,
    );
  });

  it("reports a server that speaks plain HTTP and one that does not answer", async () => {
    const port = portOf(endpoint.url);
    const plain = await runAgainst(`https://localhost:${port}/token`, trust);
    expect(plain.lines["tls"]).toBe("✗ localhost: it does not speak TLS → check the port");
    await using silent = createServer();
    const silentPort = await listenOnLoopback(silent);
    silent.on("connection", (socket) => socket.on("error", () => {}).resume());
    const { lines } = await runAgainst(`https://localhost:${silentPort}/token`, trust, "300ms");
    expect(lines["tls"]).toMatch(
      /^✗ localhost: no answer within 300 ms → allow it through the firewall/,
    );
  });
});

describe("doctor with a proxy", () => {
  /** Starts a proxy that connects to the stand-in, whatever the target. */
  async function startProxy(options: Omit<HttpProxyOptions, "port"> = {}) {
    await using parts = new AsyncDisposableStack();
    const port = portOf(endpoint.url);
    const front = parts.use(await startTlsFront({ ca, host: GOOGLE, port }));
    const proxy = parts.use(await startHttpProxy({ ...options, port: front.port }));
    const all = parts.move();
    return { proxy, [Symbol.asyncDispose]: () => all.disposeAsync() };
  }

  it("checks the proxy's address and reaches the endpoint with the proxy's credentials", async () => {
    await using running = await startProxy({ credentials: "user:pass word" });
    const HTTPS_PROXY = `http://user:pass%20word@${running.proxy.host}`;
    const run = await runAgainst(`https://${GOOGLE}/token`, { ...trust, HTTPS_PROXY });
    expect(run.lines).toMatchObject({
      dns: "✓ 127.0.0.1 (the proxy in HTTPS_PROXY) is an IP address",
      tcp: `✓ ${running.proxy.host} (the proxy in HTTPS_PROXY) accepts connections`,
      proxy: `✓ ${running.proxy.host} connects to ${GOOGLE}:443`,
      tls: expect.stringMatching(`^✓ TLSv1.3, certificate for ${GOOGLE} from stand-in`),
      clock: `✓ within 1 s of ${GOOGLE}'s`,
      mint: expect.stringMatching(/^✓ ID token from https:\/\/accounts\.google\.com for a, /),
    });
    expect(run.stdout).not.toContain("pass");
    // One tunnel for the checks and one for the mint.
    expect(running.proxy.targets).toEqual([`${GOOGLE}:443`, `${GOOGLE}:443`]);
    expect(run.code).toBe(0);
  });

  it("reaches a proxy over TLS", async () => {
    await using running = await startProxy();
    const port = Number(running.proxy.host.split(":")[1]);
    await using front = await startTlsFront({ ca, host: "localhost", port });
    const HTTPS_PROXY = `https://localhost:${front.port}`;
    const run = await runAgainst(`https://${GOOGLE}/token`, { ...trust, HTTPS_PROXY });
    expect(run.lines["proxy"]).toBe(`✓ localhost:${front.port} connects to ${GOOGLE}:443`);
    expect(run.code).toBe(0);
    const untrusted = await runAgainst(`https://${GOOGLE}/token`, { HTTPS_PROXY });
    expect(untrusted.lines["proxy"]).toBe(
      "✗ localhost: its certificate is from stand-in for Google's CA, which is not trusted here → " +
        "have Node trust the proxy's CA: NODE_EXTRA_CA_CERTS=FILE",
    );
  });

  it("requests an endpoint without TLS by its whole URL", async () => {
    await using proxy = await startHttpProxy({ port: portOf(endpoint.url) });
    const url = "http://127.0.0.2:44/token";
    const run = await runAgainst(url, { HTTP_PROXY: `http://${proxy.host}` });
    expect(run.lines["dns"]).toBe("✓ 127.0.0.1 (the proxy in HTTP_PROXY) is an IP address");
    expect(run.lines["clock"]).toBe("✓ within 1 s of 127.0.0.2:44's");
    expect(run.marks).toBe("✓✓✓✓✓✓✓");
    expect(proxy.targets).toEqual([url, url]);
    expect(run.code).toBe(0);
  });

  it.each([
    [
      { credentials: "a:b" },
      407,
      "put the proxy's user and password into HTTPS_PROXY, as in http://USER:PASSWORD@",
    ],
    [{ refuseWith: 403 }, 403, `have the proxy allow ${GOOGLE}:443`],
    [
      { refuseWith: 502 },
      502,
      `the proxy cannot reach ${GOOGLE}:443: check its DNS and its outbound access`,
    ],
    [
      { refuseWith: 405 },
      405,
      "check that HTTPS_PROXY names a proxy that accepts CONNECT requests",
    ],
  ])("says what to do about a proxy that refuses tunnels: %j", async (options, status, remedy) => {
    await using running = await startProxy(options);
    const HTTPS_PROXY = `http://${running.proxy.host}`;
    const { code, lines, marks } = await runAgainst(`https://${GOOGLE}/token`, {
      ...trust,
      HTTPS_PROXY,
    });
    const told = `✗ ${running.proxy.host} answered ${status} when asked to connect to ${GOOGLE}:443 → ${remedy}`;
    expect(lines["proxy"]).toBe(status === 407 ? `${told}${running.proxy.host}` : told);
    expect(marks).toBe("✓✓✓✓✗---");
    expect(code).toBe(1);
  });

  it("bypasses the proxy for hosts in NO_PROXY", async () => {
    await using running = await startProxy();
    await using front = await startTlsFront({ ca, host: "localhost", port: portOf(endpoint.url) });
    const { code, lines } = await runAgainst(`https://localhost:${front.port}/token`, {
      ...trust,
      HTTPS_PROXY: `http://${running.proxy.host}`,
      NO_PROXY: "localhost",
    });
    expect(lines).not.toHaveProperty("proxy");
    expect(running.proxy.targets).toEqual([]);
    expect(code).toBe(0);
  });

  it("names a variable with an invalid proxy URL but does not show the value", async () => {
    const HTTPS_PROXY = "user:secret@proxy.example:3128";
    const run = await runAgainst(`https://${GOOGLE}/token`, { HTTPS_PROXY });
    expect(run.lines["dns"]).toMatch(/^✗ HTTPS_PROXY must be the URL of a proxy, as in .* → /);
    expect(run.stdout + run.stderr).not.toContain("secret");
    expect(run.code).toBe(1);
  });
});

function portOf(url: string): number {
  return Number(new URL(url).port);
}
