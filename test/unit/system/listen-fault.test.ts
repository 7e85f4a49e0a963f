import { once } from "node:events";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import type { TcpAddress } from "../../../src/system/address.ts";
import { StartError } from "../../../src/system/errors.ts";
import { listenFault } from "../../../src/system/listen-fault.ts";
import { listenOnLoopback } from "../../support/loopback.ts";

const addressOf = (host: string, port: number): TcpAddress => ({ kind: "tcp", host, port });

it("names the address and says in words why it is not free, or does not exist", async () => {
  await using taken = createServer();
  const fail = async (address: TcpAddress): Promise<string> => {
    const error: unknown = await once(createServer().listen(address), "listening").catch(
      (cause: unknown) => cause,
    );
    const fault = listenFault(address, error);
    expect(fault).toBeInstanceOf(StartError);
    expect(fault.cause).toBe(error);
    return fault.message;
  };
  const port = await listenOnLoopback(taken);
  expect(await fail(addressOf("127.0.0.1", port))).toBe(
    `127.0.0.1:${port}: cannot listen: the address is already in use`,
  );
  expect(await fail(addressOf("192.0.2.1", 0))).toBe(
    "192.0.2.1:0: cannot listen: this machine does not have that address",
  );
});

it("takes a reason in words, and the system's words for any other error", () => {
  const socket = { kind: "unix", path: "/run/a.sock" } as const;
  expect(listenFault(socket, "a file is in the way").message).toBe(
    "unix:/run/a.sock: cannot listen: a file is in the way",
  );
  const denied = Object.assign(new Error("listen EACCES"), { code: "EACCES", errno: -13 });
  expect(listenFault(socket, denied).message).toContain(": cannot listen: permission denied");
});
