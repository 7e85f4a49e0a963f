import { createServer } from "node:http";
import { expect, it } from "vitest";
import { healthcheckCommand } from "../../../src/commands/healthcheck.ts";
import { StartError, UsageError } from "../../../src/system/errors.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

/** Runs the command with these flags; resolves with its exit code and output. */
async function run(...argv: readonly string[]) {
  let stdout = "";
  const code = await healthcheckCommand(argv, {}, { stdout: (text) => (stdout += text) });
  return { code, stdout };
}

it.each([
  [200, 0],
  [503, 1],
  [404, 1],
])("an answer of %i to /readyz is exit code %i, and its body is printed", async (status, code) => {
  await using server = createServer((request, response) => {
    response.writeHead(status).end(request.url);
  });
  const port = await listenOnLoopback(server);
  expect(await run(`--listen=127.0.0.1:${port}`)).toEqual({ code, stdout: "/readyz\n" });
});

it("no server at the address is a StartError that names it", async () => {
  await expect(run("--listen=127.0.0.1:1")).rejects.toThrow(
    new StartError("127.0.0.1:1: no answer: connection refused"),
  );
});

it("a server that does not answer is reported after two seconds", async () => {
  await using server = createServer(() => {});
  const port = await listenOnLoopback(server);
  await expect(run(`--listen=127.0.0.1:${port}`)).rejects.toThrow(
    `127.0.0.1:${port}: no answer: none within 2000 ms`,
  );
  server.closeAllConnections();
});

it("without flags, a process 1 that is another program is a StartError", async () => {
  await expect(run()).rejects.toThrow("process 1 is not idtoken-authz");
});

it("wrong flags are a UsageError", async () => {
  await expect(run("--wrong")).rejects.toThrow(UsageError);
});

it("asks serve with TLS on --admin-listen", async () => {
  await using server = createServer((_request, response) => response.end());
  const port = await listenOnLoopback(server);
  const tls = ["--tls-cert=server.crt", "--tls-key=server.key"];
  expect(await run(...tls, `--admin-listen=127.0.0.1:${port}`)).toMatchObject({ code: 0 });
  await expect(run(...tls)).rejects.toThrow("on --admin-listen, and there is none");
});

it("asks up, which serves its health on --admin-listen only", async () => {
  await using server = createServer((_request, response) => response.end());
  const port = await listenOnLoopback(server);
  const up = ["up", "gateway", "--service-url=https://a-b-ew.a.run.app", "--service-ca=/ca"];
  expect(await run(...up, `--admin-listen=127.0.0.1:${port}`)).toMatchObject({ code: 0 });
  await expect(run(...up)).rejects.toThrow(
    new StartError("up serves no health without --admin-listen"),
  );
});
