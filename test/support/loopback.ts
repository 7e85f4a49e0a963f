import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";

/** Listens on 127.0.0.1, on a free port if `port` is 0, and resolves with the port. */
export async function listenOnLoopback(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Finds a port that is free now, for a program whose config must name its port. */
export async function findFreePort(): Promise<number> {
  await using probe = createServer();
  return await listenOnLoopback(probe);
}
