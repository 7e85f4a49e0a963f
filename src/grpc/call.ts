import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { clientNames } from "../access/client-names.ts";
import type { Clock } from "../system/clock.ts";
import { createFrameReader } from "./message-frame.ts";
import type { Answer, Method } from "./method.ts";
import { Status, statusTrailers, StatusError } from "./status.ts";

export interface CallOptions {
  readonly clock: Clock;
  /** Called with an unexpected error; the client gets a bare INTERNAL. */
  readonly onFault: (error: unknown) => void;
}

const RESPONSE_HEADERS = { ":status": 200, "content-type": "application/grpc" };
/** How long the rest of a request is read after its answer. */
const DISCARD_MS = 1000;
/** `grpc-timeout`: at most eight digits and a unit. */
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/**
 * Answers one call, by the protocol "gRPC over HTTP/2": one message in, a message or a stream of
 * messages out, then a status. The call ends when its deadline passes or its client cancels it;
 * what the method returns after that is dropped.
 */
export function answerCall(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  method: Method | undefined,
  { clock, onFault }: CallOptions,
): void {
  const reader = createFrameReader();
  const ended = new AbortController();
  const client = clientNames(stream.session?.socket);
  let isStarted = false;
  let cancelDeadline = () => {};

  function fail(error: unknown): void {
    if (ended.signal.aborted) return;
    if (error instanceof StatusError) return endWith(error.status, error.message);
    onFault(error);
    endWith(Status.INTERNAL);
  }

  function endWith(status: Status, message?: string): void {
    const trailers = statusTrailers(status, message);
    if (!stream.headersSent)
      stream.respond({ ...RESPONSE_HEADERS, ...trailers }, { endStream: true });
    else endStream(trailers);
    end();
    if (!stream.readableEnded) discardRest();
  }

  /** Lets a request end by itself: a client may take a reset for the outcome of its call. */
  function discardRest(): void {
    const cancel = clock.schedule(DISCARD_MS, () => stream.close(constants.NGHTTP2_NO_ERROR));
    stream.once("close", cancel);
  }

  function endStream(trailers: Readonly<Record<string, string>>, last?: Buffer): void {
    stream.once("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end(last);
  }

  function end(): void {
    cancelDeadline();
    ended.abort();
  }

  function open(): void {
    stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
  }

  async function sendAll(frames: AsyncIterable<Buffer>): Promise<void> {
    for await (const frame of frames) {
      if (ended.signal.aborted) return;
      if (!stream.headersSent) open();
      stream.write(frame);
    }
    if (!ended.signal.aborted) endWith(Status.OK);
  }

  function sendOnly(frame: Buffer): void {
    if (ended.signal.aborted) return;
    open();
    endStream(statusTrailers(Status.OK), frame);
    end();
  }

  function start(known: Method, frame: Buffer): void {
    isStarted = true;
    const answer: Answer = known.run(frame, headers, ended.signal, client);
    if (Symbol.asyncIterator in answer) sendAll(answer).catch(fail);
    else if (answer instanceof Promise) answer.then(sendOnly).catch(fail);
    else sendOnly(answer);
  }

  // The client is gone: nobody is left to be answered.
  stream.on("error", () => {}).on("close", end);
  try {
    if (method === undefined) throw new StatusError(Status.UNIMPLEMENTED, "unknown method");
    const timeoutMs = parseTimeout(headers["grpc-timeout"]?.toString());
    if (timeoutMs !== undefined) {
      const late = new StatusError(Status.DEADLINE_EXCEEDED, `no answer within ${timeoutMs} ms`);
      cancelDeadline = clock.schedule(timeoutMs, () => fail(late));
    }
    stream.on("data", (chunk: Buffer) => {
      if (isStarted || ended.signal.aborted) return;
      try {
        const frame = reader.push(chunk);
        if (frame !== undefined) start(method, frame);
      } catch (error) {
        fail(error);
      }
    });
    stream.on("end", () => {
      if (!isStarted) fail(new StatusError(Status.INVALID_ARGUMENT, "the message is incomplete"));
    });
  } catch (error) {
    fail(error);
  }
}

/** Parses `grpc-timeout` to milliseconds. Throws a StatusError. */
function parseTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const [, digits, unit = ""] = TIMEOUT.exec(value) ?? [];
  if (digits === undefined) {
    throw new StatusError(Status.INVALID_ARGUMENT, "grpc-timeout must be digits and a unit");
  }
  return Number(digits) * (UNIT_MS[unit] ?? 1);
}
