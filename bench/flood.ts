import { setPriority } from "node:os";
import { startChild } from "./child.ts";
import { openConnection, type Connection, type TlsTarget } from "./tls-target.ts";

/** Checks for the same audience, whose token is cached, or each for another one. */
export type FloodKind = "cached" | "cold";

/** The processor goes to the server first, as if the flood came from another machine. */
const LOWEST_PRIORITY = 19;
/** More than the mints that may wait, so that the rest is refused again and again. */
const CONNECTIONS = 256;

/** A caller's flood: 256 connections, each with the next check as soon as the last is answered. */
export interface Flood extends AsyncDisposable {
  /** How many checks have had each status so far. */
  readonly counts: () => Promise<Readonly<Record<string, number>>>;
}

/** Starts a flood from a process of its own. Resolves when every connection is open. */
export async function startFlood(target: TlsTarget, kind: FloodKind): Promise<Flood> {
  const child = startChild(import.meta.filename, [kind]);
  child.send(target);
  await child.next();
  return {
    counts: async () => {
      child.send({});
      return (await child.next()) as Record<string, number>;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

async function flood(kind: FloodKind, target: TlsTarget): Promise<void> {
  const counts: Record<string, number> = {};
  let sent = 0;
  const work = async ({ check }: Connection): Promise<never> => {
    for (;;) {
      sent += 1;
      const audience = kind === "cold" ? `https://${process.pid}-${sent}.run.app` : undefined;
      const { status } = await check(audience);
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  const connections: Connection[] = [];
  while (connections.length < CONNECTIONS) connections.push(await openConnection(target));
  process.on("message", () => process.send?.(counts));
  process.send?.({});
  await Promise.all(connections.map(work));
}

if (import.meta.main) {
  setPriority(LOWEST_PRIORITY);
  process.once("message", (target: TlsTarget) => {
    void flood(process.argv[2] as FloodKind, target);
  });
}
