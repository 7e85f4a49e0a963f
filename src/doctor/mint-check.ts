import { systemClock } from "../system/clock.ts";
import type { Credential } from "../credentials/credential.ts";
import { MintError } from "../system/errors.ts";
import { createMintQueue } from "../tokens/mint-queue.ts";
import { decodeClaims, type IdToken } from "../tokens/id-token.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { remedyForNetwork } from "./network-fault.ts";
import { shellQuote } from "./shell-quote.ts";

/** A token and the account that it identifies. */
export interface Minted {
  /** In its compact form; shown to nobody but the service. */
  readonly token: string;
  readonly email: string;
}

/** Cloud Run accepts tokens of no other issuer. */
const ISSUERS = new Set(["https://accounts.google.com", "accounts.google.com"]);

/** Mints one ID token. */
export async function checkMint(
  { mint, principal }: Credential,
  audience: string,
  timeoutMs: number,
): Promise<Finding<Minted>> {
  const events = { minted: () => {}, mintFailed: () => {}, clockCompared: () => {} };
  const options = {
    configured: new Set([audience]),
    mintTimeoutMs: timeoutMs,
    maxWaiting: 0,
    clock: systemClock,
    events,
  };
  const run = () => createMintQueue(options).run(mint, audience, "cold");
  return describeMint(run, audience, principal);
}

/**
 * Describes the token that `mint` returns for an audience. Throws a CheckFailure, with what to do,
 * if it rejects with a MintError; `principal` is the account that the credential is for.
 */
export async function describeMint(
  mint: () => IdToken | Promise<IdToken>,
  audience: string,
  principal: string,
): Promise<Finding<Minted>> {
  const minted = await mintOrFail(mint, principal);
  const token = minted.header.slice("Bearer ".length);
  const { iss, email } = shownClaims(token);
  const expires = new Date(minted.expiresAtSeconds * 1000).toISOString().replace(".000", "");
  const minutes = Math.round(minted.lifeMs / 60_000);
  return {
    message: `ID token from ${iss} for ${audience}, email ${email}, expires ${expires}, in ${minutes} min`,
    remedy: ISSUERS.has(iss) ? undefined : "Cloud Run accepts only tokens of accounts.google.com",
    facts: { issuer: iss, audience, email, expires },
    value: { token, email: email === NONE ? principal : email },
  };
}

const NONE = "(none)";

async function mintOrFail(
  mint: () => IdToken | Promise<IdToken>,
  principal: string,
): Promise<IdToken> {
  try {
    return await mint();
  } catch (error) {
    if (!(error instanceof MintError)) throw error;
    const { code, message } = error;
    throw new CheckFailure(message, remedyFor(error, principal), { code });
  }
}

function shownClaims(token: string): { readonly iss: string; readonly email: string } {
  const claims = decodeClaims(token);
  const show = (claim: unknown) => (typeof claim === "string" ? claim.slice(0, 200) : NONE);
  return { iss: show(claims["iss"]), email: show(claims["email"]) };
}

/** How to fix a failed mint, unless its own message says so. */
export function remedyFor(
  { code, peerCode, networkCode = "", description = "" }: MintError,
  account: string,
): string | undefined {
  const iam = "gcloud iam service-accounts";
  const of = `--iam-account=${shellQuote(account)}`;
  switch (code) {
    case "mint_unavailable":
      return (
        remedyForNetwork(networkCode) ??
        "try again in a minute; if it persists, look at status.cloud.google.com"
      );
    case "mint_timeout":
      return "try again, with more time: --mint-timeout, or doctor's --timeout";
    case "mint_invalid_answer":
      return "something else may be answering instead of the endpoint, such as a captive portal or a proxy";
    case "mint_rejected":
      break;
  }
  if (description.includes("account not found")) {
    return `the account was deleted, or has another name: ${iam} describe ${shellQuote(account)}`;
  }
  if (description.includes("reasonable timeframe")) return "set this machine's clock";
  if (peerCode === "invalid_grant") {
    return (
      `check whether this key still exists, ${iam} keys list ${of}, ` +
      `and create a new one if not: ${iam} keys create FILE ${of}`
    );
  }
  return description.includes("audience") ? "check --audience" : undefined;
}
