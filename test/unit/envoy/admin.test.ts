import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createEnvoyAdmin, parseActivity } from "../../../src/envoy/admin.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const stats = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .map(([name, count]) => `${name}_active: ${count}\n`)
    .join("");

it("counts a gateway's requests as open, and its idle connections as connections only", () => {
  const activity = parseActivity(
    stats({
      "http.admin.downstream_cx": 1,
      "http.admin.downstream_rq": 1,
      "http.http.downstream_cx": 3,
      "http.http.downstream_rq": 2,
      "listener.127.0.0.1_9090.downstream_cx": 3,
      "listener.127.0.0.1_9090.worker_0.downstream_cx": 1,
      "listener.127.0.0.1_9090.worker_1.downstream_cx": 2,
      "listener.admin.downstream_cx": 1,
      "listener.admin.main_thread.downstream_cx": 1,
    }),
  );
  expect(activity).toEqual({ open: 2, connections: 3 });
});

it("counts a tunnel as open for as long as its TCP connection is", () => {
  const idleTunnel = stats({
    "http.post.downstream_cx": 0,
    "http.post.downstream_rq": 0,
    "listener.[__1]_7777.downstream_cx": 1,
  });
  expect(parseActivity(idleTunnel)).toEqual({ open: 1, connections: 1 });
  expect(parseActivity(idleTunnel.replace("7777.downstream_cx_active: 1", ""))).toEqual({
    open: 0,
    connections: 0,
  });
});

it.each([
  ["IPv4", "127.0.0.1"],
  ["IPv6", "::1"],
])("asks an admin endpoint on an %s address that Envoy has written down", async (_, host) => {
  await using folder = await makeTemporaryFolder();
  const file = join(folder.path, "admin");
  await using server = createServer((_request, response) => response.end("LIVE\n"));
  await once(server.listen(0, host), "listening");
  const { port } = server.address() as AddressInfo;
  await writeFile(file, host === "::1" ? `[::1]:${port}` : `${host}:${port}`);
  expect(await createEnvoyAdmin(file).isReady()).toBe(true);
});

it("says that Envoy is not ready where there is no admin endpoint yet", async () => {
  expect(await createEnvoyAdmin("/none/admin").isReady()).toBe(false);
});
