import type { Address } from "../system/address.ts";
import type { Clock } from "../system/clock.ts";
import { acceptHttp2, type AcceptOptions } from "./accept-http2.ts";
import { buildApp, type AppOptions } from "./app.ts";
import { prepareDrain } from "./drain.ts";
import { listen } from "./listen.ts";
import type { SecureOptions } from "./tls.ts";

/** One address with everything that is served there, over HTTP/1.1 and HTTP/2. */
export interface Endpoint {
  /** Resolves with the address, including the chosen port. Throws a StartError. */
  readonly listen: (address: Address) => Promise<Address>;
  /** Ends connections gracefully within the timeout, and resolves when none is left. */
  readonly drain: (timeoutMs: number) => Promise<void>;
  /** Closes every connection immediately. */
  readonly close: () => Promise<void>;
}

/** Builds an endpoint, without listening. */
export async function buildEndpoint(
  options: AppOptions &
    AcceptOptions & {
      readonly clock: Clock;
      /** TLS on its connections; undefined for none. */
      readonly secure?: SecureOptions | undefined;
    },
): Promise<Endpoint> {
  const app = await buildApp(options);
  const http2 = acceptHttp2(app, options);
  if (options.secure !== undefined) {
    const { terminateTls } = await import("./tls.ts");
    terminateTls(app.server, options.secure);
  }
  return {
    listen: (address) => listen(app, address),
    drain: prepareDrain(app.server, http2, options.clock),
    close: async () => {
      app.server.closeAllConnections();
      http2.destroy();
      await app.close();
    },
  };
}
