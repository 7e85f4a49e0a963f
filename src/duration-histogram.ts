/** A histogram without labels, in Prometheus' words. */
export interface DurationHistogram {
  readonly observe: (seconds: number) => void;
  /** Its Prometheus text, a line feed at its end. */
  readonly render: () => string;
}

/**
 * Counts durations by upper bounds in seconds, ascending. It adds and compares numbers, no more:
 * prom-client's own costs a check about 6 % of the processor's time that it takes.
 */
export function createDurationHistogram(options: {
  readonly name: string;
  readonly help: string;
  readonly buckets: readonly number[];
}): DurationHistogram {
  const { name, help, buckets } = options;
  const counts = new Float64Array(buckets.length + 1);
  let sum = 0;

  function render(): string {
    let count = 0;
    const lines = [...buckets, "+Inf"].map((bound, index) => {
      count += counts[index] ?? 0;
      return `${name}_bucket{le="${bound}"} ${count}`;
    });
    const head = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    return [...head, ...lines, `${name}_sum ${sum}`, `${name}_count ${count}`, ""].join("\n");
  }

  return {
    observe: (seconds) => {
      sum += seconds;
      const found = buckets.findIndex((bound) => seconds <= bound);
      const index = found === -1 ? buckets.length : found;
      counts[index] = (counts[index] ?? 0) + 1;
    },
    render,
  };
}
