/** What a check can come to. A check is skipped when one that it needs has failed. */
type CheckState = "passed" | "warning" | "failed" | "skipped";

type CheckName = "file" | "key" | "dns" | "tcp" | "proxy" | "tls" | "clock" | "mint" | "service";

/** What a check saw, for machines. Never a key, an assertion or a token. */
export type Facts = Readonly<Record<string, string | number>>;

export interface CheckResult {
  readonly name: CheckName;
  readonly state: CheckState;
  readonly message: string;
  /** What to do about it. */
  readonly remedy?: string | undefined;
  readonly facts?: Facts | undefined;
}

/** What a check found that did not fail; something to do about it makes it a warning. */
export interface Finding<T> extends Pick<CheckResult, "message" | "remedy" | "facts"> {
  /** What the checks after it go on with. */
  readonly value: T;
}

/** A check failed. The message and the remedy are safe to show. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
  readonly remedy: string | undefined;
  readonly facts: Facts | undefined;

  constructor(message: string, remedy?: string, facts?: Facts) {
    super(message);
    this.remedy = remedy;
    this.facts = facts;
  }
}

export interface Checklist {
  /**
   * Runs one check on what the checks before it came to, and resolves with what it came to
   * itself: undefined when it failed or, for want of its input, was skipped.
   */
  readonly check: <I, T>(
    name: CheckName,
    input: I | undefined,
    run: (input: I) => Finding<T> | Promise<Finding<T>>,
  ) => Promise<T | undefined>;
  /** Every result so far. */
  readonly results: readonly CheckResult[];
}

/** Starts an empty list; `onResult` is told of each result as it comes. */
export function createChecklist(onResult: (result: CheckResult) => void): Checklist {
  const results: CheckResult[] = [];
  let lastFailed: CheckName | undefined;

  function add(result: CheckResult): void {
    results.push(result);
    if (result.state === "failed") lastFailed = result.name;
    onResult(result);
  }

  return {
    results,
    check: async (name, input, run) => {
      if (input === undefined) {
        add({ name, state: "skipped", message: `not checked, as ${lastFailed} failed` });
        return undefined;
      }
      try {
        const { message, remedy, facts, value } = await run(input);
        const state = remedy === undefined ? "passed" : "warning";
        add({ name, state, message, remedy, facts });
        return value;
      } catch (error) {
        if (!(error instanceof CheckFailure)) throw error;
        const { message, remedy, facts } = error;
        add({ name, state: "failed", message, remedy, facts });
        return undefined;
      }
    },
  };
}

const MARKS: Readonly<Record<CheckState, string>> = {
  passed: "✓",
  warning: "!",
  failed: "✗",
  skipped: "-",
};

/** A result as one line for people. */
export function formatResult({ name, state, message, remedy }: CheckResult): string {
  const line = `${MARKS[state]} ${name.padEnd(7)} ${message}`;
  // Names in certificates and tokens are the other end's to choose.
  return (remedy === undefined ? line : `${line} → ${remedy}`).replaceAll(/\p{Cc}/gu, "?");
}

/** Whether nothing failed; a warning is no failure. */
export function hasPassed(results: readonly CheckResult[]): boolean {
  return results.every(({ state }) => state !== "failed");
}

/** All results as one JSON document. */
export function formatJson(results: readonly CheckResult[]): string {
  return JSON.stringify({ passed: hasPassed(results), checks: results }, null, 2);
}
