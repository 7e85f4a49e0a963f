import PQueue from "p-queue";
import type { Readable } from "node:stream";
import { readBounded } from "../system/bounded-body.ts";
import type { Clock } from "../system/clock.ts";

/** Envoy's requests are about 77 KB, because they list its extensions. */
export const MAX_REQUEST_BYTES = 1_048_576;
/** Of one client, since each may take as much memory; Envoy sends one request at a time. */
const MAX_READING = 32;
/** As long as Node waits for a whole request over HTTP/1.1; over HTTP/2 it would wait forever. */
const MAX_READING_MS = 30_000;

/** A request over HTTP/1.1 or HTTP/2. */
export type Incoming = Pick<Readable, "iterator" | "destroy">;

/**
 * Reads the body of a push. Resolves with undefined if it is too long; the rest is left unread. A
 * client that breaks off or takes too long is disconnected, and its body counts as empty.
 */
export type ReadPush = (
  request: Incoming,
  client: readonly string[],
) => Promise<string | undefined>;

/** Creates the reader of pushes: it limits how many bodies of each client are read at a time. */
export function createPushReader(clock: Clock): ReadPush {
  const byClient = new Map<string, PQueue>();

  return (request, client) => {
    const name = client.join(" ");
    const turns = byClient.get(name) ?? new PQueue({ concurrency: MAX_READING });
    byClient.set(name, turns);
    return turns.add(async () => {
      const body = await readInTime(request, clock);
      const isLast = turns.size === 0 && turns.pending === 1;
      if (isLast) byClient.delete(name);
      return body;
    });
  };
}

async function readInTime(request: Incoming, clock: Clock): Promise<string | undefined> {
  const cancel = clock.schedule(MAX_READING_MS, () => request.destroy());
  // Leaving a part unread must not destroy the connection before the answer is sent.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  try {
    return await readBounded(chunks, MAX_REQUEST_BYTES);
  } catch {
    // The client is gone; it does not matter what it is answered.
    return "";
  } finally {
    cancel();
  }
}
