import { receive, sendPattern, type Receiver } from "./byte-pattern.ts";
import type { TcpPair } from "./tcp-pairs.ts";

/** What two ends of a connection do. Resolves with what went wrong, or with undefined. */
export type Row = (pair: TcpPair, size: number) => Promise<string | undefined>;

/** Longest time that a row takes when nothing is lost, on a slow machine. */
const LIMIT_MS = 60_000;
const SLOW_BYTES_PER_SECOND = 6_000_000;
/** More than fits between the two ends. */
const ENDLESS = 1e12;

/** Who ends a connection, how, and at which moment: each must lose nothing, or fail on both sides. */
export const MATRIX = {
  "client half-closes and reads": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(client, size).then(() => client.end());
    const lost = await whole("upload", up, size);
    if (lost !== undefined) return lost;
    void sendPattern(server, size).then(() => server.end());
    return whole("download", down, size);
  },
  "server half-closes and reads on": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(server, size).then(() => server.end());
    const lost = await whole("download", down, size);
    if (lost !== undefined) return lost;
    void sendPattern(client, size).then(() => client.end());
    return whole("upload", up, size);
  },
  "server half-closes in the middle of an upload": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(client, size).then(() => client.end());
    void sendPattern(server, 100).then(() => server.end());
    return (await whole("upload", up, size)) ?? (await whole("download", down, 100));
  },
  "server sends and closes, fast reader": async ({ client, server }, size) => {
    receive(server);
    const down = receive(client);
    down.read();
    return serverCloses({ client, server }, size, down);
  },
  "server sends and closes, slow reader": async ({ client, server }, size) => {
    receive(server);
    const down = receive(client);
    down.read(SLOW_BYTES_PER_SECOND);
    return serverCloses({ client, server }, size, down);
  },
  "server sends and closes, reader starts late": async ({ client, server }, size) => {
    receive(server);
    const down = receive(client);
    setTimeout(() => down.read(), 500);
    return serverCloses({ client, server }, size, down);
  },
  "client sends and closes": async ({ client, server }, size) => {
    const [up] = readBoth(server, client);
    void sendPattern(client, size).then(() => client.destroySoon());
    return whole("upload", up, size);
  },
  "client sends and closes, slow reader": async ({ client, server }, size) => {
    const up = receive(server);
    up.read(SLOW_BYTES_PER_SECOND);
    receive(client).read();
    void sendPattern(client, size).then(() => client.destroySoon());
    return whole("upload", up, size);
  },
  "client resets in the middle of an upload": async ({ client, server }, size) => {
    const [up] = readBoth(server, client);
    void sendPattern(client, size).then(() => client.resetAndDestroy());
    return broken("server", up);
  },
  "client resets in the middle of a download": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(server, ENDLESS);
    if (!(await within(down.has(size)))) return `download: stalled, ${show(down)}`;
    client.resetAndDestroy();
    return broken("server", up);
  },
  "client closes in the middle of a download": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(server, ENDLESS);
    if (!(await within(down.has(size)))) return `download: stalled, ${show(down)}`;
    client.destroy();
    return (await within(up.closed)) ? undefined : `server: still open, ${show(up)}`;
  },
  "server resets in the middle of a download": async ({ client, server }, size) => {
    const [, down] = readBoth(server, client);
    void sendPattern(server, size).then(() => server.resetAndDestroy());
    return broken("client", down);
  },
  "server resets in the middle of an upload": async ({ client, server }, size) => {
    const [up, down] = readBoth(server, client);
    void sendPattern(client, ENDLESS);
    if (!(await within(up.has(size)))) return `upload: stalled, ${show(up)}`;
    server.resetAndDestroy();
    return broken("client", down);
  },
} as const satisfies Readonly<Record<string, Row>>;

export type RowName = keyof typeof MATRIX;
export const ROWS = Object.keys(MATRIX) as readonly RowName[];
/** Those that mostly wait for a reader. */
export const SLOW_ROWS: ReadonlySet<RowName> = new Set(
  ROWS.filter((row) => row.endsWith("slow reader")),
);

async function serverCloses(
  { client, server }: Pick<TcpPair, "client" | "server">,
  size: number,
  down: Receiver,
): Promise<string | undefined> {
  void sendPattern(server, size).then(() => server.destroySoon());
  const lost = await whole("download", down, size);
  client.end();
  return lost;
}

function readBoth(...sockets: readonly TcpPair["client"][]): readonly [Receiver, Receiver] {
  const [first, second] = sockets.map((socket) => receive(socket)) as [Receiver, Receiver];
  first.read();
  second.read();
  return [first, second];
}

/** Every byte arrived, and then the end. */
async function whole(what: string, at: Receiver, size: number): Promise<string | undefined> {
  if (!(await within(at.over))) return `${what}: no end, ${show(at)}`;
  const { bytes, isCorrupt, ended, error } = at.received();
  if (ended && error === undefined && bytes === size && !isCorrupt) return undefined;
  return `${what}: ${bytes} of ${size} bytes, ${show(at)}`;
}

/** The end was an error: what arrived cannot be taken for all. */
async function broken(end: string, at: Receiver): Promise<string | undefined> {
  if (!(await within(at.closed))) return `${end}: still open, ${show(at)}`;
  return at.received().error === undefined ? `${end}: no error, ${show(at)}` : undefined;
}

/** Whether something happens in time. */
async function within(event: Promise<void>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), LIMIT_MS);
  void event.then(() => resolve(true));
  const isInTime = await promise;
  clearTimeout(timer);
  return isInTime;
}

function show(at: Receiver): string {
  const { isCorrupt, ended, error } = at.received();
  return `${ended ? "ended" : "not ended"}, ${error ?? "no error"}${isCorrupt ? ", corrupt" : ""}`;
}
