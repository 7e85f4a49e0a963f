import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { unlessAborted } from "../../../src/system/unless-aborted.ts";

const reason = new Error("over");

it("settles as the promise does, and leaves nothing at the signal", async () => {
  const { signal } = new AbortController();
  expect(await unlessAborted(Promise.resolve(1), signal)).toBe(1);
  const failure = new Error("no");
  await expect(unlessAborted(Promise.reject(failure), signal)).rejects.toBe(failure);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

it("rejects with the signal's reason when it is aborted, and what comes later does no harm", async () => {
  const controller = new AbortController();
  const late = Promise.withResolvers<number>();
  const result = unlessAborted(late.promise, controller.signal);
  controller.abort(reason);
  await expect(result).rejects.toBe(reason);
  late.reject(new Error("late"));
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
});

it("rejects at once if the signal is aborted already", async () => {
  await expect(unlessAborted(new Promise(() => {}), AbortSignal.abort(reason))).rejects.toBe(
    reason,
  );
});
