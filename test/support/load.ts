import { Agent, request } from "node:http";

/** How many attempts had each outcome; `ok` is one of them. */
export type Tally = Readonly<Record<string, number>>;

export interface Load {
  /** Resolves when `count` further attempts have ended. */
  readonly more: (count: number) => Promise<void>;
  /** Stops after the current attempts have ended. */
  readonly stop: () => Promise<Tally>;
}

/** Runs `attempt` in `workers` parallel loops until stopped. An attempt resolves to its outcome. */
export function startLoad(workers: number, attempt: () => Promise<string>): Load {
  const tally: Record<string, number> = {};
  let ended = 0;
  const stopping = new AbortController();
  const waiting = new Set<{ readonly at: number; readonly resolve: () => void }>();

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const outcome = await attempt().catch((error: unknown) => String(error));
      tally[outcome] = (tally[outcome] ?? 0) + 1;
      ended += 1;
      for (const { at, resolve } of waiting) if (ended >= at) resolve();
    }
  }

  const all = Array.from({ length: workers }, work);
  return {
    more: async (count) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiter = { at: ended + count, resolve };
      waiting.add(waiter);
      await promise;
      waiting.delete(waiter);
    },
    stop: async () => {
      stopping.abort();
      await Promise.all(all);
      return tally;
    },
  };
}

/** Creates an attempt: a GET over a keep-alive connection. Its outcome is `ok` or the status. */
export function httpAttempt(url: string): () => Promise<string> {
  const agent = new Agent({ keepAlive: true });
  return () =>
    new Promise((resolve, reject) => {
      request(url, { agent }, (response) => {
        response.once("error", reject).once("end", () => {
          resolve(response.statusCode === 200 ? "ok" : String(response.statusCode));
        });
        response.resume();
      })
        .once("error", reject)
        .end();
    });
}
