import { once } from "node:events";
import { expect, it } from "vitest";
import { buildEndpoint } from "../../../src/http/endpoint.ts";
import { formatAddress } from "../../../src/system/address.ts";
import { createFakeClock } from "../../support/fake-clock.ts";
import { HEALTHY } from "../../support/http-app.ts";
import { openHttp2 } from "../../support/http2-client.ts";

async function setUp() {
  const clock = createFakeClock();
  const endpoint = await buildEndpoint({
    health: HEALTHY,
    loadGrpc: async () => (_request, response) => void response.end(),
    onFault: () => {},
    clock,
  });
  const address = await endpoint.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  return { clock, endpoint, address: formatAddress(address) };
}

it("serves HTTP/1.1 and HTTP/2 on one address, and closes both", async () => {
  const { endpoint, address } = await setUp();
  expect((await fetch(`http://${address}/livez`)).status).toBe(200);
  using client = openHttp2(address);
  expect((await client.request({ ":path": "/livez" })).status).toBe(200);
  const closed = once(client.session, "close");
  await endpoint.close();
  await closed;
  await expect(fetch(`http://${address}/livez`)).rejects.toThrow("fetch failed");
});

it("a drain announces the end, answers for a second, then closes idle connections", async () => {
  const { clock, endpoint, address } = await setUp();
  using client = openHttp2(address);
  await client.request({ ":path": "/livez" });
  const wentAway = once(client.session, "goaway");
  const closed = once(client.session, "close");
  const late = client.request({ ":path": "/livez" });
  const drained = endpoint.drain(10_000);
  await wentAway;
  expect((await late).status).toBe(200);
  clock.advance(1000);
  await closed;
  await drained;
  expect(clock.armed()).toEqual([]);
  await endpoint.close();
});
