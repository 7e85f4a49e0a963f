import type { Http2Session, Http2Stream } from "node:http2";

/** About four frames. */
const FEW_BYTES = 65_536;

/**
 * Calls back when little is on its way on a stream, so that it can be reset. The HTTP/2 library takes
 * data that arrives on a stream after its reset for an attack: after 1000 such frames, and then 33 a
 * second, it ends the connection with all its streams. Stops reading the stream: its peer can send
 * no more than the window. Never calls back if the stream is closed first.
 */
export function whenQuiet(stream: Http2Stream, reset: () => void): void {
  const { session } = stream;
  if (session === undefined || stream.destroyed || stream.closed) return;
  stream.pause();
  const roundTrip = roundTripsOf(session);
  const step = async (before: number): Promise<void> => {
    await roundTrip();
    if (stream.destroyed || stream.closed) return;
    const { readableLength } = stream;
    if (readableLength - before > FEW_BYTES) return step(readableLength);
    reset();
  };
  void step(stream.readableLength);
}

const known = new WeakMap<Http2Session, () => Promise<void>>();

/**
 * Returns a function that resolves when all is here that the peer had sent before the call, or when
 * the connection has ended. One ping at a time serves all calls.
 */
function roundTripsOf(session: Http2Session): () => Promise<void> {
  const existing = known.get(session);
  if (existing !== undefined) return existing;
  let current: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = () => {
    next = undefined;
    current = ping(session).finally(() => (current = undefined));
    return current;
  };
  const roundTrip = () => (current === undefined ? start() : (next ??= current.then(start)));
  known.set(session, roundTrip);
  return roundTrip;
}

async function ping(session: Http2Session): Promise<void> {
  if (session.destroyed) return;
  await new Promise<void>((resolve) => void session.ping(() => resolve()));
}
