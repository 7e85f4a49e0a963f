/** Told of each step that takes a while. */
export type Tell = (step: string) => void;

type Measures = Readonly<Record<string, () => Promise<unknown>>>;
type Results<M extends Measures> = {
  readonly [K in keyof M]: readonly Awaited<ReturnType<M[K]>>[];
};

/**
 * Measures by turns, so that what else the machine does meets all alike: one turn that does not
 * count, then `rounds` that do, every second one backwards. Resolves with the counted results.
 */
export async function inTurns<M extends Measures>(
  measures: M,
  { rounds, tell }: { readonly rounds: number; readonly tell: Tell },
): Promise<Results<M>> {
  const results = new Map(Object.keys(measures).map((name) => [name, [] as unknown[]]));
  for (let round = 0; round <= rounds; round++) {
    tell(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
    const turn = [...results];
    for (const [name, its] of round % 2 === 0 ? turn.toReversed() : turn) {
      const result = await measures[name]?.();
      if (round > 0) its.push(result);
    }
  }
  return Object.fromEntries(results) as unknown as Results<M>;
}
