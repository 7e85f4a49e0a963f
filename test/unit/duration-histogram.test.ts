import { Histogram, Registry } from "prom-client";
import { expect, it } from "vitest";
import { createDurationHistogram } from "../../src/duration-histogram.ts";

const WORDS = { name: "wait_seconds", help: "Time waited." };
const BUCKETS = [0.001, 0.1, 1];

it.each([[[]], [[0.0005]], [[0.001, 0.1, 1]], [[0.002, 0.5, 1.5, 2, 0]]])(
  "after %j it says what prom-client's says",
  async (durations) => {
    const registry = new Registry();
    const theirs = new Histogram({ ...WORDS, buckets: BUCKETS, registers: [registry] });
    const ours = createDurationHistogram({ ...WORDS, buckets: BUCKETS });
    for (const each of durations) {
      theirs.observe(each);
      ours.observe(each);
    }
    expect(ours.render()).toBe(await registry.metrics());
  },
);
