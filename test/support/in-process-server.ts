import { status } from "@grpc/grpc-js";
import { startServer } from "../../src/server/server.ts";
import { parseConfig } from "../../src/settings/serve.ts";
import { formatAddress } from "../../src/system/address.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { checkRequest, createAuthorizationClient, headersOf } from "./authorization-client.ts";
import { createFakeClock, type FakeClock } from "./fake-clock.ts";
import { createLineLog, type LineLog } from "./line-log.ts";
import { refuseSecrets } from "./secrets.ts";
import type { LogLine } from "./server-process.ts";
import type { TokenEndpoint } from "./token-endpoint.ts";

/** The whole server in the test's own process, on a clock that the test controls. */
export interface InProcessServer extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly lines: LineLog<LogLine>;
  readonly url: string;
  /** Checks the credential file for changes now. */
  readonly reload: () => void;
  /** How many exchanges the endpoint has seen since the server started. */
  readonly exchanges: () => number;
  /** Sends a check for the default audience, or for another one. */
  readonly check: (audience?: string) => Promise<{
    readonly status: number;
    readonly token: string | null;
    readonly body: string;
  }>;
  /** Does the same over gRPC; its status and its token, or its message. */
  readonly checkOverGrpc: (audience?: string) => Promise<{
    readonly code: number;
    readonly details: string | undefined;
  }>;
}

/** Starts the server on a clock that stands still. */
export async function startInProcess(
  endpoint: TokenEndpoint,
  flags: readonly string[],
): Promise<InProcessServer> {
  const clock = createFakeClock();
  const lines = createLineLog<LogLine>();
  const config = parseConfig(["--listen", "127.0.0.1:0", ...flags], {});
  const log = createLogger("debug", { write: (line) => lines.push(JSON.parse(line)) });
  const before = endpoint.exchanges.length;
  const server = await startServer(config, { env: {}, clock, log });
  const url = `http://${formatAddress(server.address)}`;
  return {
    clock,
    lines,
    url,
    reload: server.reload,
    exchanges: () => endpoint.exchanges.length - before,
    check: async (audience) => {
      const named = audience === undefined ? {} : { "x-id-token-audience": audience };
      const response = await fetch(`${url}/check`, { headers: named });
      const { headers } = response;
      return {
        status: response.status,
        token: headers.get("authorization"),
        body: await response.text(),
      };
    },
    checkOverGrpc: async (audience) => {
      using client = createAuthorizationClient(formatAddress(server.address));
      const outcome = await client.check(checkRequest(audience));
      if ("code" in outcome) return outcome;
      return { code: status.OK, details: headersOf(outcome)?.["authorization"] };
    },
    [Symbol.asyncDispose]: async () => {
      const closed = server.close();
      clock.advance(60_000);
      await closed;
      refuseSecrets(JSON.stringify(lines.lines), "the log");
    },
  };
}
