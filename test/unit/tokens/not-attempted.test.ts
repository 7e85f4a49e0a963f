import { expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import {
  BackoffRunning,
  MintNotAttempted,
  MintQueueFull,
} from "../../../src/tokens/not-attempted.ts";

it("BackoffRunning repeats the refusal's code and message, and rounds its pause up", () => {
  const refusal = new MintError("mint_rejected", "the token endpoint refused: invalid_grant");
  const error = new BackoffRunning(refusal, 1200.5);
  expect(error).toBeInstanceOf(MintNotAttempted);
  expect(error).toMatchObject({ code: "mint_rejected", message: refusal.message });
  expect(error.retryInMs).toBe(1201);
});

it("MintQueueFull asks for a retry in a second, and names whose queue is full", () => {
  const error = new MintQueueFull("web");
  expect(error).toBeInstanceOf(MintNotAttempted);
  expect(error).toMatchObject({ code: "mint_unavailable", retryInMs: 1000, caller: "web" });
});
