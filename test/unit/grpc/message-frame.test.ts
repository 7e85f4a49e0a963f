import { describe, expect, it } from "vitest";
import { HealthCheckRequestSchema } from "../../../src/grpc/gen/grpc/health/v1/health_pb.ts";
import { createFrameReader, decodeFrame, encodeFrame } from "../../../src/grpc/message-frame.ts";
import { Status, StatusError } from "../../../src/grpc/status.ts";
import { grpcFrame } from "../../support/http2-client.ts";

const frame = encodeFrame(HealthCheckRequestSchema, { service: "a" });

/** The status with which the function throws, undefined if it returns. */
function statusOf(run: () => unknown): Status | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return error.status;
  }
}

it("encodeFrame puts a flag and the length before the message", () => {
  expect(frame).toEqual(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x61]));
});

describe("createFrameReader", () => {
  it("returns the frame once it is whole, however it is cut", () => {
    for (let cut = 1; cut < frame.length; cut++) {
      const { push } = createFrameReader();
      expect(push(frame.subarray(0, cut))).toBeUndefined();
      expect(push(frame.subarray(cut))).toEqual(frame);
    }
    const { push } = createFrameReader();
    const found = [...frame].map((byte) => push(Buffer.from([byte])));
    expect(found.filter((each) => each !== undefined)).toEqual([frame]);
  });

  it("returns a frame with an empty message", () => {
    expect(createFrameReader().push(grpcFrame(Buffer.alloc(0)))).toHaveLength(5);
  });

  it.each([
    ["a second message", Buffer.concat([frame, frame]), Status.INVALID_ARGUMENT],
    ["a compressed message", grpcFrame(Buffer.alloc(1), 1), Status.UNIMPLEMENTED],
    ["the head of a message over 4 MiB", Buffer.from([0, 0, 64, 0, 1]), Status.RESOURCE_EXHAUSTED],
  ])("refuses %s", (_what, bytes, status) => {
    expect(statusOf(() => createFrameReader().push(bytes))).toBe(status);
  });
});

describe("decodeFrame", () => {
  it("returns the message, without the fields that it does not know", () => {
    const unknown = Buffer.from([0x7a, 1, 0]);
    const message = decodeFrame(
      HealthCheckRequestSchema,
      grpcFrame(Buffer.concat([frame.subarray(5), unknown])),
    );
    expect(message).toMatchObject({ service: "a" });
    expect(message.$unknown).toBeUndefined();
  });

  it("refuses bytes that are not such a message, and does not quote them", () => {
    const decode = () => decodeFrame(HealthCheckRequestSchema, grpcFrame(Buffer.from("secret")));
    expect(statusOf(decode)).toBe(Status.INVALID_ARGUMENT);
    expect(decode).toThrow(/^the message is not a grpc\.health\.v1\.HealthCheckRequest$/);
  });
});
