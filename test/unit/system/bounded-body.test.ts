import { describe, expect, it } from "vitest";
import { readBounded, readBoundedBytes } from "../../../src/system/bounded-body.ts";

const CHUNKS = [Buffer.from("caf"), Buffer.from([0xc3]), Buffer.from([0xa9])];

describe("readBounded", () => {
  it("joins the chunks before it decodes them", async () => {
    expect(await readBounded(CHUNKS, 5)).toBe("café");
    expect(await readBoundedBytes(CHUNKS, 5)).toEqual(Buffer.from("café"));
  });

  it("returns undefined for a body that is too long, and reads no further", async () => {
    let read = 0;
    function* body() {
      for (const chunk of CHUNKS) {
        read += 1;
        yield chunk;
      }
    }
    expect(await readBounded(body(), 3)).toBeUndefined();
    expect(read).toBe(2);
  });

  it("rejects when the body breaks off", async () => {
    async function* body() {
      yield Buffer.from("a");
      throw new Error("reset");
    }
    await expect(readBounded(body(), 10)).rejects.toThrow("reset");
  });
});
