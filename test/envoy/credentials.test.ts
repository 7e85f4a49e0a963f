import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createCredentials,
  KEY_ACCOUNT,
  MACHINE_ACCOUNT,
  TARGET,
  type Credentials,
} from "../support/credential-files.ts";
import { startServer } from "../support/server-process.ts";
import { readBanner } from "../support/tcp-service.ts";
import { startTunnel, TUNNEL_AUDIENCE, type Tunnel } from "../support/tunnel.ts";

/** Each credential, as the flags that name it, and whom its tokens are for. */
const CASES: readonly {
  readonly name: string;
  readonly file?: keyof Credentials["files"];
  readonly flags?: readonly string[];
  readonly email: string;
}[] = [
  { name: "a service-account key", file: "serviceAccount", email: KEY_ACCOUNT },
  {
    name: "--impersonate over a key",
    file: "serviceAccount",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
  { name: "an impersonated_service_account file", file: "impersonated", email: TARGET },
  { name: "federation by a file", file: "federatedByFile", email: TARGET },
  { name: "federation by a URL", file: "federatedByUrl", email: TARGET },
  { name: "federation by AWS", file: "federatedByAws", email: TARGET },
  {
    name: "--impersonate over a user's credential",
    file: "authorizedUser",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
  { name: "the metadata server", email: MACHINE_ACCOUNT },
  {
    name: "--impersonate over the metadata server",
    flags: [`--impersonate=${TARGET}`],
    email: TARGET,
  },
];

describe("a TCP connection through the tunnel, by", () => {
  let tunnel: Tunnel;
  let world: Credentials;

  beforeAll(async () => {
    tunnel = await startTunnel();
    world = await createCredentials(tunnel.google.endpoint);
    // Each credential's own server takes its place, and its address.
    await tunnel.authServer.stop("SIGKILL");
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await tunnel?.[Symbol.asyncDispose]();
  });

  it.each(CASES)("$name", async ({ file, flags = [], email }) => {
    const path = file && (await world.write(world.files[file]));
    await using server = await startServer(
      [
        "--listen",
        tunnel.authServer.address,
        `--audience=${TUNNEL_AUDIENCE}`,
        ...(path === undefined ? [] : [`--credentials=${path}`]),
        ...flags,
      ],
      { ...world.env, HOME: "/no/such/home", GCE_METADATA_HOST: world.metadata.host },
    );
    const request = tunnel.google.cloudRun.nextRequest();
    expect(await readBanner(tunnel.port, { timeoutMs: 10_000 })).toMatch(/^Congrats!/);
    expect((await request).identity).toMatchObject({ email, audience: TUNNEL_AUDIENCE });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(
      new RegExp(`^idtoken_authz_credential_info\\{.*principal="${email}"`, "m"),
    );
  });
});
