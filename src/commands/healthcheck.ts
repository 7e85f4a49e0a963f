import { readFile } from "node:fs/promises";
import { request } from "node:http";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import { formatAddress, type Address } from "../system/address.ts";
import { parseConfig } from "../settings/serve.ts";
import { parseUpFlags } from "../settings/up.ts";
import { StartError, systemReason } from "../system/errors.ts";

const TIMEOUT_MS = 2000;
const PROGRAM = "idtoken-authz";

/** The output of `healthcheck --help`. */
export const healthcheckHelp = () => `Usage: idtoken-authz healthcheck [flags of serve]
       idtoken-authz healthcheck up NAME [flags]

Asks the server whether it is ready, that is, whether every configured audience has a token and,
for up, Envoy accepts connections. Of up, and of serve with TLS, it asks the address of
--admin-listen. Without arguments it asks the server that runs as this container's first process,
and takes that process's flags.
`;

/**
 * Asks this container's server for its readiness and prints the answer. Resolves with the exit
 * code: 0 if it is ready, else 1. Throws a StartError if there is no server or no answer.
 */
export async function healthcheckCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stdout: (text: string) => void },
): Promise<number> {
  const address = findAddress(argv.length > 0 ? argv : await readServerArguments(), env);
  const { status, body } = await get(address, "/readyz");
  io.stdout(`${body}\n`);
  return status === 200 ? 0 : 1;
}

/** Where the server with these arguments serves its health. */
function findAddress(argv: readonly string[], env: NodeJS.ProcessEnv): Address {
  const [command, ...rest] = argv;
  if (command !== "up") {
    const { listen, adminListen, shared } = parseConfig(command === "serve" ? rest : argv, env);
    if (shared === undefined) return listen;
    if (adminListen !== undefined) return adminListen;
    throw new StartError("with TLS, health is asked on --admin-listen, and there is none");
  }
  const { adminListen } = parseUpFlags(rest, env, false).server;
  if (adminListen === undefined) throw new StartError("up serves no health without --admin-listen");
  return adminListen;
}

/** The arguments with which the container's server was started. */
async function readServerArguments(): Promise<readonly string[]> {
  const words = (await readFile("/proc/1/cmdline", "utf8")).split("\0").slice(0, -1);
  // After Node, and after an init process if there is one.
  const program = words.findIndex((word) => basename(word) === PROGRAM);
  if (program === -1) {
    throw new StartError(`process 1 is not ${PROGRAM}: give the flags of the server to ask`);
  }
  return words.slice(program + 1);
}

async function get(address: Address, path: string): Promise<{ status: number; body: string }> {
  const where = address.kind === "unix" ? { socketPath: address.path } : address;
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  request({ ...where, path, signal, agent: false }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
  })
    .on("error", reject)
    .end();
  try {
    return await promise;
  } catch (cause) {
    const reason = systemReason(cause);
    throw new StartError(
      `${formatAddress(address)}: no answer: ${signal.aborted ? `none within ${TIMEOUT_MS} ms` : reason}`,
      { cause },
    );
  }
}
