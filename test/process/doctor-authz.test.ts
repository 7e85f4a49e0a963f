import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "../../src/envoy/certificates.ts";
import { createCredentials, KEY_ACCOUNT } from "../support/credential-files.ts";
import { runDoctor } from "../support/doctor.ts";
import { startServer, type ServerProcess } from "../support/server-process.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const ORDERS = "https://orders-abc123-ew.a.run.app";
const STOCK = "https://stock-abc123-ew.a.run.app";
const LONG_AGO = new Date("2020-01-01");

const parts = new AsyncDisposableStack();
let folder = "";
let authority: CertificateAuthority;
let stranger: CertificateAuthority;
/** The flags and the environment of every server. */
let serverFlags: readonly string[] = [];
let env: NodeJS.ProcessEnv = {};
let server: ServerProcess;
const path = (...names: readonly string[]) => join(folder, ...names);

interface Issue {
  readonly by?: CertificateAuthority;
  readonly trust?: CertificateAuthority;
  readonly from?: Date;
}

/** Writes a folder with the files of one end, and resolves with its path. */
async function writeFolder(
  usage: "client" | "server",
  host: string,
  options: Issue = {},
): Promise<string> {
  const { by = authority, trust = authority, from = new Date() } = options;
  const issued = await by.issue({ commonName: host, dnsNames: [host], usage, days: 30, from });
  const created = path(`${usage}-${host}-${crypto.randomUUID()}`);
  await mkdir(created);
  await writeFile(join(created, "ca.crt"), trust.certificatePem);
  await writeFile(join(created, `${usage}.crt`), issued.certificatePem);
  await writeFile(join(created, `${usage}.key`), issued.privateKeyPem, { mode: 0o600 });
  return created;
}

async function start(host = "localhost", issue: Issue = {}): Promise<ServerProcess> {
  const certificates = await writeFolder("server", host, issue);
  const files = { "tls-cert": "server.crt", "tls-key": "server.key", "client-ca": "ca.crt" };
  const flags = Object.entries(files).map(([flag, name]) => `--${flag}=${certificates}/${name}`);
  flags.push("--allow-client=envoy-*", "--admin-listen=127.0.0.1:0");
  return startServer([...flags, ...serverFlags], env);
}

beforeAll(async () => {
  const world = parts.use(await createCredentials());
  ({ path: folder } = parts.use(await makeTemporaryFolder()));
  ({ env } = world);
  const credentials = await world.write(world.files.serviceAccount);
  serverFlags = [`--credentials=${credentials}`, `--audience=${ORDERS}`];
  authority = await createCertificateAuthority("test CA");
  stranger = await createCertificateAuthority("another CA");
  server = parts.use(await start());
});
afterAll(() => parts.disposeAsync());

/** Runs doctor as a client with these files. */
async function ask({ address }: ServerProcess, client: string, ...flags: readonly string[]) {
  const url = `https://localhost:${address.split(":").at(-1)}`;
  return runDoctor([`--authz=${url}`, `--authz-cert-dir=${client}`, ...flags]);
}

describe("doctor on the way to an auth server over TLS", () => {
  it("gets a token, and does not print it", async () => {
    const client = await writeFolder("client", "envoy-1");
    const { code, lines, marks } = await ask(server, client);
    expect(marks).toBe("✓✓✓✓✓");
    expect(code).toBe(0);
    expect(lines["certs"]).toContain("client.crt is for DNS:envoy-1, valid to ");
    expect(lines["tls"]).toMatch(/^✓ TLSv1\.3, certificate for localhost from test CA, valid to /);
    expect(lines["token"]).toContain(` for ${ORDERS}, email ${KEY_ACCOUNT}, expires `);
  });

  it("says that an audience or a caller is not allowed", async () => {
    const allowed = await writeFolder("client", "envoy-1");
    const other = await writeFolder("client", "other.example.com");
    const stock = await ask(server, allowed, `--audience=${STOCK}`);
    expect(stock.lines["token"]).toMatch(
      /answered 403 audience_not_allowed: this caller may not have tokens for https:\/\/stock-/,
    );
    const denied = await ask(server, other);
    expect(denied.lines["token"]).toMatch(
      /answered 403 caller_not_allowed: it gives no tokens to other\.example\.com → name .*--allow-client/,
    );
    expect([stock.marks, denied.marks]).toEqual(["✓✓✓✓✗", "✓✓✓✓✗"]);
  });

  it("says that the auth server does not accept the client's certificate", async () => {
    const client = await writeFolder("client", "envoy-1", { by: stranger });
    const { code, lines } = await ask(server, client);
    expect(lines["token"]).toMatch(/does not accept the client's certificate → have .*--client-ca/);
    expect(code).toBe(1);
  });

  it("says that the client's certificate has expired", async () => {
    const client = await writeFolder("client", "envoy-1", { from: LONG_AGO });
    const { lines, marks } = await ask(server, client);
    expect(lines["certs"]).toMatch(
      /client\.crt is valid from .* 2019 .* to .* 2020 GMT → renew it/,
    );
    expect(marks).toBe("✗✓✓--");
  });

  it("says that the auth server's certificate is of another CA, has expired or is of another host", async () => {
    const client = await writeFolder("client", "envoy-1");
    await using foreign = await start("localhost", { by: stranger });
    await using expired = await start("localhost", { from: LONG_AGO });
    await using misnamed = await start("other.example.com");
    const [first, second, third] = [
      await ask(foreign, client),
      await ask(expired, client),
      await ask(misnamed, client),
    ];
    expect(first.lines["tls"]).toMatch(/from another CA, which is not trusted here → put the CA/);
    expect(second.lines["tls"]).toMatch(/valid from .* → renew the auth server's certificate/);
    expect(third.lines["tls"]).toMatch(/is for DNS:other\.example\.com → give --authz a host/);
    expect(third.marks).toBe("✓✓✓✗-");
  });

  it("says that nothing listens, or something without TLS", async () => {
    const client = await writeFolder("client", "envoy-1");
    const down = await runDoctor(["--authz=https://localhost:1", `--authz-cert-dir=${client}`]);
    expect(down.lines["tcp"]).toMatch(/connection refused → start the auth server/);
    await using plain = await startServer(serverFlags, env);
    const { lines } = await ask(plain, client);
    expect(lines["tls"]).toContain("it does not speak TLS");
    const reverse = await runDoctor([`--authz=http://${server.address}`]);
    expect(reverse.lines["token"]).toMatch(/connection was closed → if it has TLS, ask it by/);
  });
});

describe("doctor on the way to an auth server without TLS", () => {
  it("gets a token from a Unix socket, and says that a check secret is missing", async () => {
    const secret = path("check-secret");
    await writeFile(secret, "a check secret of this test\n");
    const socket = `unix:${path("authz.sock")}`;
    const flags = ["--listen", socket, `--check-secret-file=${secret}`, ...serverFlags];
    await using secretive = await startServer(flags, env);
    expect(secretive.address).toBe(socket);
    const without = await runDoctor([`--authz=${socket}`]);
    expect(without.lines["token"]).toMatch(
      /403 check_secret_wrong: it wants a check secret → give/,
    );
    const given = await runDoctor([`--authz=${socket}`, `--check-secret-file=${secret}`]);
    expect(given.marks).toBe("✓✓");
  });

  it("says that the auth server cannot mint", async () => {
    const tokenUri = "http://127.0.0.1:1/token";
    const world = parts.use(await createCredentials());
    const dead = { ...world.files.serviceAccount, token_uri: tokenUri };
    const credentials = await world.write(dead, "dead.json");
    const flags = [`--credentials=${credentials}`, `--audience=${ORDERS}`];
    await using failing = await startServer(flags, world.env);
    const { lines } = await runDoctor([`--authz=http://${failing.address}`]);
    expect(lines["token"]).toMatch(
      /answered 503 mint_unavailable: .*cannot mint.* → run doctor where/,
    );
  });
});
