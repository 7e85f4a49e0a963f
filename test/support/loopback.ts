import { once } from "node:events";
import type { AddressInfo, Server } from "node:net";

/** Listens on 127.0.0.1, on a free port if `port` is 0, and resolves with the port. */
export async function listenOnLoopback(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
