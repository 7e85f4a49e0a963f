import { elapsedMs, type Clock } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { freshness, type IdToken } from "./id-token.ts";
import type { Mint, MintQueue } from "./mint-queue.ts";
import { MintNotAttempted } from "./not-attempted.ts";

/** A new credential before it is used. */
export interface Rotation {
  /**
   * Mints the tokens that it must have before it is used. Rejects with a MintError if one of them
   * cannot be minted; the next call mints only what is missing. Stops between two mints when the
   * signal is aborted.
   */
  readonly verify: (signal: AbortSignal) => Promise<void>;
  /** Puts the credential to use with the tokens that it has. To be called once, after `verify`. */
  readonly use: () => void;
}

export interface VerifierOptions {
  readonly mint: Mint;
  readonly queue: Pick<MintQueue, "run">;
  /** Audiences whose tokens it must have. */
  readonly required: readonly string[];
  /** Audiences whose tokens it should have, if they can be minted soon. */
  readonly wanted: () => readonly string[];
  /** Share of a token's life after which it is minted again. */
  readonly refreshAt: number;
  readonly clock: Clock;
}

/** How many mints are made concurrently; the other slots of the queue are left to checks. */
const MAX_CONCURRENT = 4;
/** The use of a verified credential is not delayed longer for tokens that are only wanted. */
const MAX_WANTED_MS = 30_000;

/** Creates what mints a new credential's first tokens; they are in `tokens`, by audience. */
export function createVerifier(options: VerifierOptions): {
  readonly tokens: ReadonlyMap<string, IdToken>;
  readonly verify: Rotation["verify"];
} {
  const { mint, queue, clock } = options;
  const tokens = new Map<string, IdToken>();
  const tried = new Set<string>();

  function isMissing(audience: string): boolean {
    const token = tokens.get(audience);
    return token === undefined || freshness(token, clock.now(), options.refreshAt) !== "fresh";
  }

  /** Mints for each audience until `isOver`, and returns the failures in their order. */
  async function mintAll(
    audiences: readonly string[],
    isOver: () => boolean,
  ): Promise<readonly MintError[]> {
    const failures: MintError[] = [];
    const left = audiences.values();
    const work = async () => {
      for (const audience of left) {
        if (isOver()) return;
        try {
          tokens.set(audience, await queue.run(mint, audience, "swap"));
        } catch (error) {
          if (!(error instanceof MintError)) throw error;
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, work));
    return failures;
  }

  async function verify(signal: AbortSignal): Promise<void> {
    const missing = options.required.filter(isMissing);
    const failures = await mintAll(missing, () => signal.aborted);
    // The refusal itself says more than that its backoff is running.
    const failure = failures.find((error) => !(error instanceof MintNotAttempted)) ?? failures[0];
    if (failure !== undefined) throw failure;
    const startedAt = clock.now();
    const untried = options.wanted().filter((audience) => !tried.has(audience));
    for (const audience of untried) tried.add(audience);
    await mintAll(
      untried,
      () => signal.aborted || elapsedMs(startedAt, clock.now()) > MAX_WANTED_MS,
    );
  }

  return { tokens, verify };
}
