import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { createPushReader, MAX_REQUEST_BYTES } from "../../../src/http/push-bodies.ts";
import { createFakeClock } from "../../support/fake-clock.ts";

const READ_MS = 30_000;
const AT_A_TIME = 32;

/** A request whose body is sent by the test. */
const request = () => new Readable({ read: () => {} });
const whole = (body: string) => Readable.from([Buffer.from(body)], { objectMode: false });

it("reads a body, and no more of a long one than it must to refuse it", async () => {
  const clock = createFakeClock();
  const read = createPushReader(clock);
  expect(await read(whole("{}"), [])).toBe("{}");
  expect(await read(whole("x".repeat(MAX_REQUEST_BYTES + 1)), [])).toBeUndefined();
  expect(clock.armed()).toEqual([]);
});

it("reads 32 bodies of a client at a time, and those of others meanwhile", async () => {
  const read = createPushReader(createFakeClock());
  const slow = Array.from({ length: AT_A_TIME }, request);
  for (const each of slow) void read(each, ["slow.example.com"]);
  const next = read(whole("next"), ["slow.example.com"]);
  expect(await read(whole("{}"), ["web.example.com"])).toBe("{}");
  const waits = Promise.race([next, read(whole("later"), [])]);
  expect(await waits).toBe("later");
  slow[0]?.push(null);
  expect(await next).toBe("next");
});

it("disconnects a client that takes longer than 30 seconds", async () => {
  const clock = createFakeClock();
  const read = createPushReader(clock);
  const slow = request();
  const body = read(slow, []);
  slow.push("{");
  expect(clock.armed()).toEqual([READ_MS]);
  clock.advance(READ_MS);
  expect(await body).toBe("");
  expect(slow.destroyed).toBe(true);
});

it("takes the body of a client that is gone for an empty one", async () => {
  const gone = request();
  const body = createPushReader(createFakeClock())(gone, []);
  gone.destroy(new Error("reset"));
  expect(await body).toBe("");
});
