/** Called at each step that takes a while, with its description. */
export type OnStep = (step: string) => void;

type Measures = Readonly<Record<string, () => Promise<unknown>>>;
type Results<M extends Measures> = {
  readonly [K in keyof M]: readonly Awaited<ReturnType<M[K]>>[];
};

/**
 * Takes measurements alternately, so that other load on the machine affects all of them equally:
 * one round to warm up, then `rounds` that count, every second one in reverse order. Resolves with
 * the counted results.
 */
export async function interleave<M extends Measures>(
  measures: M,
  { rounds, onStep }: { readonly rounds: number; readonly onStep: OnStep },
): Promise<Results<M>> {
  const results = new Map(Object.keys(measures).map((name) => [name, [] as unknown[]]));
  for (let round = 0; round <= rounds; round++) {
    onStep(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
    const order = [...results];
    for (const [name, counted] of round % 2 === 0 ? order.toReversed() : order) {
      const result = await measures[name]?.();
      if (round > 0) counted.push(result);
    }
  }
  return Object.fromEntries(results) as unknown as Results<M>;
}
