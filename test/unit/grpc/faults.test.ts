import { Code, ConnectError, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { reportFaults } from "../../../src/grpc/faults.ts";

const bug = new TypeError("secret detail");
const status = new ConnectError("none", Code.NotFound);

/** Runs a method that throws as given, immediately or in its stream; `faults` is what it reported. */
async function run(
  error: unknown,
  { inStream = false, signal = new AbortController().signal } = {},
) {
  const faults: unknown[] = [];
  const intercept = reportFaults((fault) => faults.push(fault));
  const request = { signal } as unknown as UnaryRequest & StreamRequest;
  const next = intercept(async () => {
    if (!inStream) throw error;
    const message = (async function* () {
      yield 1;
      throw error;
    })();
    return { stream: true, message } as never;
  });
  const messages: unknown[] = [];
  async function readAll(): Promise<void> {
    const { message } = await next(request);
    for await (const each of message as AsyncIterable<unknown>) messages.push(each);
  }
  await expect(readAll()).rejects.toBe(error);
  return { faults, messages };
}

it("reports what a method throws, in a stream too, and throws it again", async () => {
  expect(await run(bug)).toEqual({ faults: [bug], messages: [] });
  expect(await run(bug, { inStream: true })).toEqual({ faults: [bug], messages: [1] });
});

it("does not report a status", async () => {
  expect((await run(status)).faults).toEqual([]);
  expect((await run(status, { inStream: true })).faults).toEqual([]);
});

it("does not report what is thrown after the call's end", async () => {
  expect((await run(bug, { signal: AbortSignal.abort() })).faults).toEqual([]);
});

it("leaves the answer of a method alone", async () => {
  const answer = { stream: false, message: {} } as never;
  const intercept = reportFaults(() => {});
  expect(await intercept(async () => answer)({} as UnaryRequest)).toBe(answer);
});
