import { Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { createStandardStreams } from "../../../src/system/standard-streams.ts";

/** Creates a stream that fails with an error code or, without one, keeps what is written. */
function createStream(code?: string) {
  const written: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, callback) {
      if (code !== undefined) return callback(Object.assign(new Error(`${code}: bad`), { code }));
      written.push(String(chunk));
      callback();
    },
  });
  return { written, stream: stream as unknown as NodeJS.WriteStream };
}

function createStreams({ stdout = "", stderr = "" }: { stdout?: string; stderr?: string }) {
  const out = createStream(stdout || undefined);
  const err = createStream(stderr || undefined);
  const onFailure = vi.fn<() => void>();
  const process = { stdout: out.stream as never, stderr: err.stream as never };
  return { out, err, onFailure, streams: createStandardStreams(process, onFailure) };
}

describe("standard streams", () => {
  it("write text to standard output and standard error", async () => {
    const { out, err, onFailure, streams } = createStreams({});
    streams.stdout("a");
    streams.stdout("b");
    streams.stderr("c");
    await setImmediate();
    expect({ out: out.written, err: err.written }).toEqual({ out: ["a", "b"], err: ["c"] });
    expect(onFailure).not.toHaveBeenCalled();
  });

  it("report a closed reader of standard output to the caller only", async () => {
    const { err, onFailure, streams } = createStreams({ stdout: "EPIPE" });
    streams.stdout("a");
    await setImmediate();
    expect(onFailure).toHaveBeenCalledOnce();
    expect(err.written).toEqual([]);
  });

  it("report another failure of standard output on standard error too", async () => {
    const { err, onFailure, streams } = createStreams({ stdout: "ENOSPC" });
    streams.stdout("a");
    await setImmediate();
    expect(onFailure).toHaveBeenCalledOnce();
    expect(err.written).toEqual(["standard output: ENOSPC: bad\n"]);
  });

  it("ignore a failure of standard error", async () => {
    const { onFailure, streams } = createStreams({ stderr: "EPIPE" });
    streams.stderr("a");
    await setImmediate();
    expect(onFailure).not.toHaveBeenCalled();
  });
});
