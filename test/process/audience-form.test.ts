import { decodeJwt } from "jose";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import { runMain, startServer, type ServerProcess } from "../support/server-process.ts";

const OWN_URL = "https://svc-abc123-ew.a.run.app";
const parts = new AsyncDisposableStack();
let keyFile = "";

beforeAll(async () => {
  ({ keyFile } = parts.use(await startKeyedEndpoint()));
});
afterAll(() => parts.disposeAsync());

/** Sends a check; returns the audience of its token, or its status. */
async function audienceOf(
  { url }: ServerProcess,
  headers: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const answer = await fetch(`${url}/check`, { headers });
  const token = answer.headers.get("authorization")?.replace("Bearer ", "");
  return token === undefined ? answer.status : decodeJwt(token).aud;
}

describe("an audience that is a URL", () => {
  it.each([
    `${OWN_URL}/`,
    `${OWN_URL}:443`,
    OWN_URL.toUpperCase().replace("HTTPS", "https"),
    "https://canary---svc-abc123-ew.a.run.app",
  ])("may be configured and named as %s; the token is for the service's own URL", async (form) => {
    await using byFlag = await startServer([`--credentials=${keyFile}`, `--audience=${form}`]);
    expect(await audienceOf(byFlag)).toBe(OWN_URL);
    const allowed = [`--credentials=${keyFile}`, "--allow-audience=https://*.run.app"];
    await using byName = await startServer(allowed);
    expect(await audienceOf(byName, { "x-id-token-audience": form })).toBe(OWN_URL);
  });

  it("is derived from a Host with a traffic tag", async () => {
    const flags = ["--audience-from-host", "--allow-audience=https://*.run.app"];
    await using server = await startServer([`--credentials=${keyFile}`, ...flags]);
    const port = server.address.split(":").at(-1);
    const headers = { host: "canary---svc-abc123-ew.a.run.app:443" };
    const sent = request({ host: "127.0.0.1", port, path: "/check", headers }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const token = response.resume().headers.authorization?.replace("Bearer ", "");
    expect(token && decodeJwt(token).aud).toBe(OWN_URL);
  });
});

describe("an audience in quotes", () => {
  it.each([
    ["serve", ["--credentials=key.json"]],
    ["doctor", ["--credentials=key.json"]],
    ["envoy", ["gateway", `--service-url=${OWN_URL}`]],
  ])("is rejected by %s with an error that names the quotes", async (command, flags) => {
    const { code, stderr } = await runMain([command, ...flags, `--audience="${OWN_URL}"`]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      `--audience ${JSON.stringify(`"${OWN_URL}"`)}: must be given without quotes: ` +
        "those around it are part of the value\n",
    );
  });

  it("is rejected in an environment variable, too", async () => {
    const env = { AUDIENCE: `"${OWN_URL}"`, ALLOW_AUDIENCE: "'https://*.run.app'" };
    const { code, stderr } = await runMain(["serve"], env);
    expect(code).toBe(2);
    expect(stderr.match(/^\w+ .*: must be given without quotes/gm)).toHaveLength(2);
  });
});
