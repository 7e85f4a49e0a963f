/** A check's result. A check is skipped if one that it depends on has failed. */
type CheckState = "passed" | "warning" | "failed" | "skipped";

type CheckName =
  | "file"
  | "key"
  | "certs"
  | "dns"
  | "tcp"
  | "socket"
  | "proxy"
  | "tls"
  | "clock"
  | "mint"
  | "token"
  | "service";

/** A check's findings as data, never with a key, an assertion or a token. */
export type Facts = Readonly<Record<string, string | number>>;

export interface CheckResult {
  readonly name: CheckName;
  readonly state: CheckState;
  readonly message: string;
  /** How to fix it. */
  readonly remedy?: string | undefined;
  readonly facts?: Facts | undefined;
}

/** The result of a check that did not fail; with a remedy it is a warning. */
export interface Finding<T> extends Pick<CheckResult, "message" | "remedy" | "facts"> {
  /** The input of the checks that depend on this one. */
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
   * Runs one check on the value of an earlier one and resolves with its own value; undefined if
   * it failed, or was skipped because its input is undefined.
   */
  readonly check: <I, T>(
    name: CheckName,
    input: I | undefined,
    run: (input: I) => Finding<T> | Promise<Finding<T>>,
  ) => Promise<T | undefined>;
  /** Every result so far. */
  readonly results: readonly CheckResult[];
}

/** Starts an empty list; `onResult` is called with each result. */
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
        add({ name, state: "skipped", message: `not checked because ${lastFailed} failed` });
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

/** A result as one line of text. */
export function formatResult({ name, state, message, remedy }: CheckResult): string {
  const line = `${MARKS[state]} ${name.padEnd(7)} ${message}`;
  // Names in certificates and tokens are chosen by the other end.
  return (remedy === undefined ? line : `${line} → ${remedy}`).replaceAll(/\p{Cc}/gu, "?");
}

/** Whether no check failed; warnings and skipped checks are not failures. */
export function hasPassed(results: readonly CheckResult[]): boolean {
  return results.every(({ state }) => state !== "failed");
}

/** All results as one JSON document. */
export function formatJson(results: readonly CheckResult[]): string {
  return JSON.stringify({ passed: hasPassed(results), checks: results }, null, 2);
}
