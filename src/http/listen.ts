import type { FastifyInstance } from "fastify";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { lstat, unlink } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { dirname } from "node:path";
import type { Address, TcpAddress } from "../system/address.ts";
import { codeOf, StartError } from "../system/errors.ts";
import { listenFault } from "../system/listen-fault.ts";

/** Gives a new socket mode 0660: only its owner and group may connect. */
const SOCKET_UMASK = 0o117;

/**
 * Listens and resolves with the address, including the chosen port. Replaces a socket left behind
 * by a dead process, but neither a live one nor another kind of file. Throws a StartError that
 * names the address and the reason.
 */
export async function listen(app: FastifyInstance, address: Address): Promise<Address> {
  try {
    if (address.kind === "unix") return await listenOnSocket(app, address);
    // Fastify would start a second server for ::1, which would not be drained.
    const host = address.host.toLowerCase() === "localhost" ? "127.0.0.1" : address.host;
    await app.listen({ host, port: address.port });
  } catch (cause) {
    throw cause instanceof StartError ? cause : listenFault(address, cause);
  }
  const bound = app.server.address();
  return typeof bound === "object" && bound !== null ? { ...address, port: bound.port } : address;
}

/**
 * Makes sure that an address is free for another program to listen on, and chooses its port if that
 * is 0. Throws a StartError that names the address and the reason.
 */
export async function findFreeAddress(address: TcpAddress): Promise<TcpAddress> {
  await using server = createServer();
  try {
    await once(server.listen({ host: address.host, port: address.port }), "listening");
  } catch (cause) {
    throw listenFault(address, cause);
  }
  return { ...address, port: (server.address() as AddressInfo).port };
}

async function listenOnSocket(
  app: FastifyInstance,
  address: Extract<Address, { kind: "unix" }>,
): Promise<Address> {
  const { path } = address;
  if (!existsSync(dirname(path))) throw listenFault(address, "its folder does not exist");
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !found.isSocket()) {
    throw listenFault(address, "a file that is not a socket is in the way");
  }
  if (found !== undefined && (await isDead(path))) await unlink(path);
  // Not chmod afterwards, which would leave a moment for others to connect.
  const usual = process.umask(SOCKET_UMASK);
  try {
    await app.listen({ path });
  } finally {
    process.umask(usual);
  }
  return address;
}

/** Whether no process listens on the socket any more. */
async function isDead(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return false;
  } catch (error) {
    return codeOf(error) === "ECONNREFUSED";
  } finally {
    socket.destroy();
  }
}
