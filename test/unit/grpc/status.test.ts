import { status } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { Status, statusTrailers } from "../../../src/grpc/status.ts";

it("codes are those of the official library", () => {
  expect(status).toMatchObject(Status);
});

it("trailers have the code, and the message percent-encoded", () => {
  expect(statusTrailers(Status.OK)).toEqual({ "grpc-status": "0" });
  expect(statusTrailers(Status.UNAVAILABLE, "50 % ä\n")).toEqual({
    "grpc-status": "14",
    "grpc-message": "50%20%25%20%C3%A4%0A",
  });
});
