import { describe, expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createNamedAccounts } from "../../../src/tokens/named-accounts.ts";

const NEVER = "never@p";

function setUp() {
  const verified: string[] = [];
  const rejected: string[] = [];
  const retained: string[][] = [];
  const gate = { open: Promise.resolve() };
  const accounts = createNamedAccounts({
    tokens: {
      retain: (names) => void retained.push([...names]),
      verify: async (account) => {
        verified.push(account);
        await gate.open;
        if (account === NEVER) throw new MintError("mint_rejected", "refused");
      },
    },
    onRejected: (account, { code }) => rejected.push(`${account}: ${code}`),
  });
  return { accounts, verified, rejected, retained, gate };
}

describe("the accounts that a policy names", () => {
  it("are verified once each, and one that cannot be used is reported", async () => {
    const { accounts, verified, rejected } = setUp();
    await accounts.use(new Set(["a@p", NEVER, "b@p"]));
    expect(verified).toEqual(["a@p", NEVER, "b@p"]);
    expect(rejected).toEqual([`${NEVER}: mint_rejected`]);
  });

  it("are verified with the next policy if they are new or were refused", async () => {
    const { accounts, verified, rejected, retained } = setUp();
    await accounts.use(new Set(["a@p", "b@p", NEVER]));
    verified.length = 0;
    await accounts.use(new Set(["b@p", "c@p", NEVER]));
    expect(verified).toEqual(["c@p", NEVER]);
    expect(rejected).toHaveLength(2);
    expect(retained.at(-1)).toEqual(["b@p", "c@p", NEVER]);
    verified.length = 0;
    await accounts.use(new Set(["a@p"]));
    expect(verified).toEqual(["a@p"]);
  });

  it("are all verified again with another credential", async () => {
    const { accounts, verified } = setUp();
    await accounts.use(new Set(["a@p", "b@p"]));
    await accounts.verifyAll();
    expect(verified).toEqual(["a@p", "b@p", "a@p", "b@p"]);
  });

  it("are not reported for a policy or a credential that is no longer in use", async () => {
    const { accounts, verified, rejected, gate } = setUp();
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.open = promise;
    const first = accounts.use(new Set([NEVER, "a@p"]));
    const second = accounts.use(new Set(["b@p"]));
    resolve();
    await Promise.all([first, second]);
    expect(verified).toEqual([NEVER, "b@p"]);
    expect(rejected).toEqual([]);
    const last = accounts.use(new Set([NEVER]));
    accounts.close();
    await last;
    expect(rejected).toEqual([]);
  });
});
