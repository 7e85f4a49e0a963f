import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";

/** Repeated without end. Its length is prime: a lost or doubled buffer shows. */
const BLOCK = randomBytes(1_048_573);
const TWICE = Buffer.concat([BLOCK, BLOCK]);
const CHUNK_BYTES = 65_536;

function patternAt(offset: number, length: number): Buffer {
  const start = offset % BLOCK.length;
  return TWICE.subarray(start, start + length);
}

/**
 * Sends `size` bytes of the pattern, the first unless `from` says otherwise. Resolves when all are
 * written, or the socket is over.
 */
export async function sendPattern(socket: Socket, size: number, from = 0): Promise<void> {
  for (let sent = 0; sent < size && !socket.destroyed; sent += CHUNK_BYTES) {
    const chunk = patternAt(from + sent, Math.min(CHUNK_BYTES, size - sent));
    if (!socket.write(chunk)) await writable(socket);
  }
}

async function writable(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("drain", resolve).on("close", resolve);
  await promise;
  socket.off("drain", resolve).off("close", resolve);
}

/** What one end of a connection has received, and how it ended. */
export interface Received {
  readonly bytes: number;
  /** Whether a byte differed from the pattern. */
  readonly isCorrupt: boolean;
  /** The peer ended its side. */
  readonly ended: boolean;
  /** The code of the error, as in ECONNRESET. */
  readonly error: string | undefined;
}

export interface Receiver {
  readonly received: () => Received;
  /** Resolves at the end of the data, however it comes. */
  readonly over: Promise<void>;
  /** Resolves when both sides are closed. */
  readonly closed: Promise<void>;
  /** Resolves when so many bytes are there. */
  readonly has: (bytes: number) => Promise<void>;
  /** Starts to read: as fast as it can, or so many bytes a second. */
  readonly read: (bytesPerSecond?: number) => void;
}

const TICK_MS = 10;

/** Watches what a socket receives. It reads nothing until it is told to. */
export function receive(socket: Socket): Receiver {
  let bytes = 0;
  let isCorrupt = false;
  let ended = false;
  let error: string | undefined;
  const over = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const waiters = new Map<() => void, number>();
  socket.on("end", () => {
    ended = true;
    over.resolve();
  });
  socket.on("error", (fault: NodeJS.ErrnoException) => {
    error = fault.code ?? fault.message;
    over.resolve();
  });
  socket.on("close", () => {
    over.resolve();
    closed.resolve();
  });

  function take(chunk: Buffer): void {
    for (let offset = 0; offset < chunk.length; offset += BLOCK.length) {
      const part = chunk.subarray(offset, offset + BLOCK.length);
      isCorrupt ||= !part.equals(patternAt(bytes, part.length));
      bytes += part.length;
    }
    for (const [resolve, wanted] of waiters) if (bytes >= wanted) resolve();
  }

  function readSlowly(bytesPerSecond: number): void {
    let budget = 0;
    const timer = setInterval(() => {
      budget = Math.min(budget + (bytesPerSecond * TICK_MS) / 1000, bytesPerSecond / 10);
      for (let chunk; budget > 0 && (chunk = socket.read() as Buffer | null);) {
        take(chunk);
        budget -= chunk.length;
      }
    }, TICK_MS);
    // Without a listener, it would not read at all.
    socket.on("readable", () => {});
    void over.promise.then(() => clearInterval(timer));
  }

  return {
    received: () => ({ bytes, isCorrupt, ended, error }),
    over: over.promise,
    closed: closed.promise,
    has: async (wanted) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiters.set(resolve, wanted);
      await promise;
      waiters.delete(resolve);
    },
    read: (bytesPerSecond) => {
      if (bytesPerSecond === undefined) socket.on("data", take).resume();
      else readSlowly(bytesPerSecond);
    },
  };
}
