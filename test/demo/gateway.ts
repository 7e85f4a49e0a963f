import { requestWithoutToken } from "../support/bare-tunnel.ts";
import { API_AUDIENCE, API_HOST, startGateway, type Gateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";
import { keepRunning, print, step, type CommandToTry, type DemoFlags } from "./print.ts";

const DRAWING = `
  HTTP or gRPC client ── Envoy ══ TLS, HTTP/2 ══ Cloud Run ── private service
                         │
                    auth server ── Google's token endpoint
`;

/** Demonstrates the gateway: a client without a token, and the caller that Cloud Run sees. */
export async function demoGateway({ push, keep }: DemoFlags): Promise<void> {
  print(DRAWING);
  await using container = await startHttpService({
    request: (request, response) =>
      response.end(`Congrats! ${request.method} ${request.url} has reached a private service.\n`),
  });
  step(`the service's HTTP server on port ${container.containerPort}`);
  const config = push ? "gateway-push" : "gateway";
  await using gateway = await startGateway({ onStep: step, container, config });
  const { google } = gateway;
  const status = await requestWithoutToken(google, API_HOST);
  if (status !== 403) throw new Error(`a request without a token got ${status}`);
  step("✓ a direct request to Cloud Run without a token is denied: 403");
  if (push && !keep) {
    await gateway.authServer.stop("SIGKILL");
    step("✓ the auth server is killed; Envoy has a token and does not need it");
  }
  const response = await fetch(`${gateway.url}/hello`, {
    headers: { authorization: "Basic eA==" },
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`the gateway answered ${response.status}: ${text}`);
  const caller = google.cloudRun.requests.at(-1)?.identity;
  if (caller?.audience !== API_AUDIENCE) throw new Error("the request came without its token");
  step(`✓ Cloud Run sees ${caller.email} with a token for ${API_AUDIENCE}`);
  step("✓ the client, which sent no token, receives:");
  print(`\n${text}`);
  if (keep) await keepRunning(commandsToTry(gateway), nearEnds(gateway));
}

function commandsToTry({ url, authServer, envoy }: Gateway): readonly CommandToTry[] {
  return [
    [`curl -i ${url}/hello`, "a private service, without a token of your own"],
    [`curl -i --http2-prior-knowledge ${url}/hello`, "the same over HTTP/2"],
    [`curl -i ${authServer.url}/check`, "what Envoy gets for a check"],
    [`curl ${authServer.url}/metrics`, "the auth server's metrics"],
    [`curl 127.0.0.1:${envoy.adminPort}/clusters`, "Envoy's clusters"],
  ];
}

function nearEnds({ google }: Gateway): readonly (readonly string[])[] {
  const flags = [`--credentials=${google.keyFile}`, ...google.serviceFlags(API_HOST)];
  return [
    ["npm run -s doctor --", ...flags],
    ["npm run -s up -- gateway-push", ...flags],
  ];
}
