import type { Credential } from "../credentials/credential.ts";
import type { Config } from "../settings/serve.ts";
import type { Address } from "../system/address.ts";
import type { IdToken } from "../tokens/id-token.ts";
import { openAccess, openTls } from "./access.ts";
import { announce } from "./announce.ts";
import type { ServerContext } from "./context.ts";
import { buildEndpoints } from "./endpoints.ts";
import { buildTokens, followCredential } from "./tokens.ts";

export interface RunningServer {
  /** Where it listens, with the chosen port. */
  readonly address: Address;
  /** The credential that it started with. */
  readonly credential: Credential;
  /** An ID token for an audience, cached or minted now. Rejects with a MintError. */
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  /** Reads the credential file and the check secret again. */
  readonly reload: () => void;
  /** Becomes unready, finishes open requests within the drain timeout, and stops. */
  readonly close: () => Promise<void>;
}

/**
 * Builds the server from its configuration and listens; the first tokens are minted in the
 * background from then on. Throws a StartError when the credential or an address cannot be used;
 * whatever was started by then has been stopped.
 */
export async function startServer(config: Config, context: ServerContext): Promise<RunningServer> {
  const { log } = context;
  // Whatever is started is stopped in reverse order, here on a failure, later by close().
  await using starting = new AsyncDisposableStack();
  const tls = await openTls(config, context);
  if (tls !== undefined) starting.defer(tls.close);
  const parts = await buildTokens(config, context, tls, starting);
  const { place, initial, own, tokens, accounts, credentials } = parts;
  const access = await openAccess(config, { accounts, tls }, context, starting);
  const draining = new AbortController();
  const { main, admin } = await buildEndpoints(config, parts, access, draining.signal, context);
  // Before the main endpoint, and so stopped after it: probes see the whole drain.
  starting.defer(admin.close);
  const adminAddress = config.adminListen && (await admin.listen(config.adminListen));
  starting.defer(main.close);
  const address = await main.listen(config.listen);
  announce(config, { address, adminAddress, credential: initial }, log);
  own.start();
  access.start();
  followCredential(parts, log);
  const running = starting.move();

  async function close(): Promise<void> {
    draining.abort();
    log.info({ event: "draining", drainTimeoutMs: config.drainTimeoutMs }, "draining");
    await main.drain(config.drainTimeoutMs);
    await running.disposeAsync();
    log.info({ event: "stopped" }, "stopped");
  }

  function reload(): void {
    void place.file?.look().then(credentials.retry);
    access.reload();
  }

  return {
    address,
    credential: initial,
    token: (audience) => tokens.token({ audience }),
    reload,
    close,
  };
}
