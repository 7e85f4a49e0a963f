/** A result of a benchmark: a figure, or the ratio of two, in each of several runs. */
export interface Line {
  /** What was measured and, after "against", what it was compared with. */
  readonly what: string;
  /** The result of each run: a ratio, or a figure in `unit`. */
  readonly runs: readonly number[];
  /** The unit of the runs; left out for ratios. */
  readonly unit?: string;
  /** The figures behind the ratios, as text. */
  readonly figures?: string;
  readonly goal?: Goal;
}

export type Goal = { readonly atLeast: number } | { readonly atMost: number };

/** The median; NaN for an empty list. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = Number.NaN, high = low] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return (low + high) / 2;
}

/** Compares two interleaved measurements by the ratio of each round's two figures. */
export function compare(
  what: string,
  of: readonly number[],
  to: readonly number[],
  { unit, goal }: { readonly unit: string; readonly goal?: Goal },
): Line {
  return {
    what,
    runs: of.map((figure, run) => figure / (to[run] ?? Number.NaN)),
    figures: `${round(median(of))} to ${round(median(to))} ${unit}`,
    ...(goal && { goal }),
  };
}

/** Whether the median meets the goal. */
export function isMet(runs: readonly number[], goal: Goal): boolean {
  return "atLeast" in goal ? median(runs) >= goal.atLeast : median(runs) <= goal.atMost;
}

const HEAD = ["what", "median", "lowest to highest", "figures", "goal"];

/** Formats the lines as a Markdown table. */
export function table(lines: readonly Line[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [row(HEAD), row(HEAD.map(() => "---")), ...lines.map((line) => row(cellsOf(line)))].join(
    "\n",
  );
}

/** Formats a line as a sentence for the terminal. */
export function sentence(line: Line): string {
  const [what, middle, spread, figures, goal] = cellsOf(line);
  const details = [spread, figures].filter((text) => text !== "").join("; ");
  return `${what}: ${middle} (${details})${goal === "" ? "" : `, goal ${goal}`}`;
}

function cellsOf({ what, runs, unit, figures = "", goal }: Line): readonly string[] {
  const middle = unit === undefined ? round(median(runs)) : `${round(median(runs))} ${unit}`;
  const spread = `${round(Math.min(...runs))} to ${round(Math.max(...runs))}`;
  if (goal === undefined) return [what, middle, spread, figures, ""];
  const bound = "atLeast" in goal ? `at least ${goal.atLeast}` : `at most ${goal.atMost}`;
  return [what, middle, spread, figures, `${bound}: ${isMet(runs, goal) ? "met" : "missed"}`];
}

/** Formats a figure with three significant digits, or as an integer if it has more. */
function round(figure: number): string {
  return figure >= 100 ? figure.toFixed(0) : String(Number(figure.toPrecision(3)));
}
