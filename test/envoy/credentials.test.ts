import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  KEY_ACCOUNT,
  MACHINE_ACCOUNT,
  TARGET,
  userFile,
  type Credentials,
} from "../support/credential-files.ts";
import { startServer } from "../support/server-process.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startX509Federation } from "../support/x509-federation.ts";
import { startTunnel, TUNNEL_AUDIENCE, type Tunnel } from "../support/tunnel.ts";

/** Each kind of credential with the flags that select it, and the account of its tokens. */
const CASES: readonly {
  readonly name: string;
  readonly file?: keyof Credentials["files"];
  readonly flags?: readonly string[];
  readonly email: string;
}[] = [
  { name: "a service-account key", file: "serviceAccount", email: KEY_ACCOUNT },
  {
    name: "a key with --impersonate",
    file: "serviceAccount",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
  { name: "an impersonated_service_account file", file: "impersonated", email: TARGET },
  { name: "federation with a token from a file", file: "federatedByFile", email: TARGET },
  { name: "federation with a token from a URL", file: "federatedByUrl", email: TARGET },
  {
    name: "federation with a token from an executable",
    file: "federatedByExecutable",
    email: TARGET,
  },
  { name: "federation from AWS", file: "federatedByAws", email: TARGET },
  {
    name: "a user's credential with --impersonate",
    file: "authorizedUser",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
  { name: "the metadata server", email: MACHINE_ACCOUNT },
  {
    name: "the metadata server with --impersonate",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
];

describe("a TCP connection is let through the tunnel", () => {
  let tunnel: Tunnel;
  let world: Credentials;

  beforeAll(async () => {
    tunnel = await startTunnel();
    world = await createCredentials(tunnel.google.endpoint);
    // Each test starts a server with its own credential on the same address.
    await tunnel.authServer.stop("SIGKILL");
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await tunnel?.[Symbol.asyncDispose]();
  });

  /** Connects with an auth server that has this credential; returns which account was let in. */
  async function connectBy(flags: readonly string[], more: NodeJS.ProcessEnv = {}) {
    await using server = await startServer(
      ["--listen", tunnel.authServer.address, `--audience=${TUNNEL_AUDIENCE}`, ...flags],
      { ...world.env, HOME: "/no/such/home", GCE_METADATA_HOST: world.metadata.host, ...more },
    );
    const request = tunnel.google.cloudRun.nextRequest();
    const banner = await readBanner(tunnel.port, { timeoutMs: 10_000 });
    const { identity } = await request;
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const [, principal] =
      /^idtoken_authz_credential_info\{.*principal="([^"]+)"/m.exec(metrics) ?? [];
    return { banner, email: identity?.email, audience: identity?.audience, principal };
  }

  const letIn = (email: string) => ({
    banner: expect.stringMatching(/^Congrats!/),
    email,
    audience: TUNNEL_AUDIENCE,
    principal: email,
  });

  it.each(CASES)("with $name", async ({ file, flags = [], email }) => {
    const path = file && (await world.write(world.files[file]));
    const named = path === undefined ? [] : [`--credentials=${path}`];
    expect(await connectBy([...named, ...flags])).toEqual(letIn(email));
  });

  it("with a user's credential whose ID tokens are for the audience", async () => {
    const { endpoint } = tunnel.google;
    const user = { ...world.user, refreshToken: "1//direct", idTokenAudience: TUNNEL_AUDIENCE };
    endpoint.registerUser(user);
    const path = await world.write(userFile(user, endpoint));
    expect(await connectBy([`--credentials=${path}`])).toEqual(letIn(user.email));
  });

  it("with federation by a client certificate", async () => {
    await using x509 = await startX509Federation(tunnel.google.endpoint, world);
    const path = await world.write(x509.file);
    expect(await connectBy([`--credentials=${path}`], x509.env)).toEqual(letIn(TARGET));
  });
});
