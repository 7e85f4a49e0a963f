import { MintError } from "../system/errors.ts";
import type { AccountTokens } from "./account-tokens.ts";

export interface NamedAccountsOptions {
  readonly tokens: Pick<AccountTokens, "retain" | "verify">;
  /** Called for each account whose tokens cannot be minted. */
  readonly onRejected: (account: string, error: MintError) => void;
}

/** The accounts that a policy names: each is verified by one mint. */
export interface NamedAccounts {
  /** Takes the accounts of a new policy: drops the tokens of others, and verifies those that are new. */
  readonly use: (accounts: ReadonlySet<string>) => Promise<void>;
  /** Verifies all of them, as after a change of the credential. */
  readonly verifyAll: () => Promise<void>;
  /** Ends the verification. */
  readonly close: () => void;
}

/**
 * Creates the verification, which reports each account that the credential cannot impersonate before
 * its first caller meets that. One at a time, so that it is no burden for the token endpoint. Its
 * promises never reject.
 */
export function createNamedAccounts({ tokens, onRejected }: NamedAccountsOptions): NamedAccounts {
  let accounts: ReadonlySet<string> = new Set();
  let verified: ReadonlySet<string> = new Set();
  let running = new AbortController();

  /** Ends what is running: it goes by an older policy or credential. */
  async function verifyMissing(): Promise<void> {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    for (const account of accounts.difference(verified)) {
      const error = await verify(account, signal);
      if (signal.aborted) return;
      if (error === undefined) verified = verified.union(new Set([account]));
      else onRejected(account, error);
    }
  }

  async function verify(account: string, signal: AbortSignal): Promise<MintError | undefined> {
    try {
      await tokens.verify(account, signal);
      return undefined;
    } catch (error) {
      if (error instanceof MintError) return error;
      throw error;
    }
  }

  return {
    use: (next) => {
      accounts = next;
      verified = verified.intersection(next);
      tokens.retain(next);
      return verifyMissing();
    },
    verifyAll: () => {
      verified = new Set();
      return verifyMissing();
    },
    close: () => running.abort(),
  };
}
