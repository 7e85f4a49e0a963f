import { expect, it } from "vitest";
import { requestWithoutToken } from "../support/bare-tunnel.ts";
import { createCredentials, MACHINE_ACCOUNT } from "../support/credential-files.ts";
import { API_AUDIENCE, API_HOST, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { startServer } from "../support/server-process.ts";

it("a gateway on Cloud Run calls a private service as its own account, without a key", async () => {
  await using container = await startHttpService({
    request: (_request, response) => response.end("hello"),
  });
  await using gateway = await startGateway({ container });
  const { google, authServer, url } = gateway;
  await using world = await createCredentials(google.endpoint);
  // Replace it by one that uses the metadata server and has no credential file.
  await authServer.stop();
  await using server = await startServer(
    [`--listen=${authServer.address}`, `--audience=${API_AUDIENCE}`],
    { ...world.env, HOME: "/no/such/home", GCE_METADATA_HOST: world.metadata.host },
  );
  expect(server.address).toBe(authServer.address);
  const response = await fetch(`${url}/`);
  expect(await response.text()).toBe("hello");
  expect(google.cloudRun.requests.at(-1)?.identity).toMatchObject({
    email: MACHINE_ACCOUNT,
    audience: API_AUDIENCE,
  });
  expect(await requestWithoutToken(google, API_HOST)).toBe(403);
});
