import type { IdToken } from "./id-token.ts";
import type { Mint } from "./mint-queue.ts";
import type { Rotation } from "./rotation.ts";
import type { TokenSource } from "./token-source.ts";
import { createWaitingLimit } from "./waiting-limit.ts";

/** The ways to mint of one credential. */
export interface Minter {
  /** Mints tokens of the credential's own account. */
  readonly mint: Mint;
  /** Creates the way to mint tokens of another account, which the credential impersonates. */
  readonly mintAs: (account: string) => Mint;
}

/** Whose token is wanted, and who wants it. */
export interface TokenRequest {
  readonly audience: string;
  /** The account to impersonate; undefined for the credential's own. */
  readonly account?: string | undefined;
  /** Who asks, if callers are told apart. */
  readonly caller?: string | undefined;
}

type GetToken = (request: TokenRequest) => IdToken | Promise<IdToken>;

/** Tokens by account and audience. */
export interface AccountTokens {
  /** Like `TokenSource.token`, for the account. */
  readonly token: GetToken;
  /** Like `TokenSource.tokenToPush`, for the account. */
  readonly tokenToPush: GetToken;
  /** How many audiences are cached, of all accounts together. */
  readonly size: () => number;
  /** Prepares the change to another key of the same account. */
  readonly prepareKey: (next: Minter) => Rotation;
  /**
   * Prepares the change to another account. The accounts that it impersonates stay the same, and so
   * do their tokens.
   */
  readonly prepareAccount: (next: Minter) => Rotation;
  /** Mints one token of an account, which is discarded. Rejects with a MintError. */
  readonly verify: (account: string, signal: AbortSignal) => Promise<void>;
  /** Drops the tokens of every account but the credential's own and these. */
  readonly retain: (accounts: ReadonlySet<string>) => void;
  /** Ends every timer. */
  readonly close: () => void;
}

/** Creates the cache over the credential's own tokens; `createSource` makes that of one account. */
export function createAccountTokens(
  initial: Minter,
  own: TokenSource,
  createSource: (mint: Mint) => TokenSource,
): AccountTokens {
  let minter = initial;
  const sources = new Map<string, TokenSource>();
  const limitWaiting = createWaitingLimit();
  const all = () => [own, ...sources.values()];

  function sourceOf(account: string | undefined): TokenSource {
    if (account === undefined) return own;
    const source = sources.get(account) ?? createSource(minter.mintAs(account));
    sources.set(account, source);
    return source;
  }

  /** The tokens of impersonated accounts stay valid; they are minted with the new credential next. */
  function withAccounts(next: Minter, { verify, use }: Rotation): Rotation {
    return {
      verify,
      use: () => {
        minter = next;
        use();
        for (const [account, source] of sources) source.prepareKey(next.mintAs(account)).use();
      },
    };
  }

  return {
    token: ({ account, audience, caller }) =>
      limitWaiting(sourceOf(account).token(audience, caller), caller),
    tokenToPush: ({ account, audience, caller }) =>
      limitWaiting(sourceOf(account).tokenToPush(audience, caller), caller),
    size: () => all().reduce((size, source) => size + source.size(), 0),
    prepareKey: (next) => withAccounts(next, own.prepareKey(next.mint)),
    prepareAccount: (next) => withAccounts(next, own.prepareAccount(next.mint)),
    verify: (account, signal) =>
      sourceOf(account).prepareKey(minter.mintAs(account)).verify(signal),
    retain: (accounts) => {
      for (const [account, source] of sources) {
        if (accounts.has(account)) continue;
        source.close();
        sources.delete(account);
      }
    },
    close: () => {
      for (const source of all()) source.close();
    },
  };
}
