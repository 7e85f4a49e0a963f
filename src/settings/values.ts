/** Parses one of some words, in any case. Throws an Error whose message is the rule, like all of these. */
export function oneOf<T extends string>(choices: readonly T[]): (text: string) => T {
  return (text) => {
    const choice = choices.find((each) => each === text.toLowerCase());
    if (choice === undefined) throw new Error(`must be one of ${choices.join(", ")}`);
    return choice;
  };
}

/** Parses a fraction from 0.1 to 0.9. */
export function parseFraction(text: string): number {
  const fraction = /^(?:0?\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(fraction >= 0.1 && fraction <= 0.9)) throw new Error("must be a fraction from 0.1 to 0.9");
  return fraction;
}

/** Parses a whole number within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
    if (!(number >= minimum && number <= maximum)) {
      throw new Error(`must be a whole number from ${minimum} to ${maximum}`);
    }
    return number;
  };
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000 } as const;

/** Parses a duration within bounds to milliseconds. */
export function duration(minimumMs: number, maximumMs: number): (text: string) => number {
  return (text) => {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
    const unit = match?.[2] as keyof typeof UNIT_MS | undefined;
    const ms = unit === undefined ? Number.NaN : Number(match?.[1]) * UNIT_MS[unit];
    if (!(ms >= minimumMs && ms <= maximumMs)) {
      throw new Error(
        `must be a time such as 500ms, 5s or 1m, from ${minimumMs} to ${maximumMs} ms`,
      );
    }
    return ms;
  };
}
