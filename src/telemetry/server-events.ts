import type { CheckSecretEvents } from "../access/check-secret.ts";
import type { PolicyEvents } from "../access/policy-file.ts";
import type { TlsEvents } from "../access/tls-files.ts";
import type { RotationEvents } from "../credentials/reloader.ts";
import type { MintError } from "../system/errors.ts";
import { showPath } from "../system/show.ts";
import type { Logger } from "./logger.ts";
import type { MintEvents } from "../tokens/mint-queue.ts";

/** What happens to tokens and to the credential, as reported to both the log and the metrics. */
export type ServerEvents = MintEvents & RotationEvents;

/** Smaller skews are network delay and rounding; Google refuses assertions that are minutes off. */
const NOTABLE_SKEW_MS = 10_000;

/** Logs each event on one line; clock skew only when it appears, changes notably or disappears. */
export function logServerEvents(log: Logger): ServerEvents {
  return {
    minted: ({ token: { audience, expiresAtSeconds }, reason, durationMs }) =>
      log.info(
        { event: "minted", audience, reason, durationMs, expiresAtSeconds },
        "minted an ID token",
      ),
    mintFailed: ({ audience, reason, error, durationMs }) => {
      const facts = { event: "mint_failed", audience, reason, err: error, durationMs } as const;
      switch (reason) {
        case "cold":
          return log.error(facts, "cannot mint an ID token");
        case "renewal":
          return log.warn(facts, "renewal failed; still serving the unexpired token");
        case "swap":
          return log.debug(facts, "the new credential could not mint an ID token");
      }
    },
    clockCompared: createSkewLog(log),
    rotated: ({ principal, keyId }, { principal: oldPrincipal, keyId: oldKeyId }) =>
      log.info(
        {
          event: "credential_rotated",
          principal,
          keyId,
          previous: { principal: oldPrincipal, keyId: oldKeyId },
        },
        "rotated to the new credential",
      ),
    rotationFailed: ({ outcome, error, isNew }) =>
      log[isNew ? "error" : "debug"](
        { event: "credential_rejected", outcome, err: error },
        "cannot use the credential file's new content; still using the old credential",
      ),
  };
}

function createSkewLog(log: Logger): ServerEvents["clockCompared"] {
  let loggedSkewMs = 0;
  return (skewMs) => {
    const clockSkewSeconds = Math.round(skewMs / 1000);
    const isOff = Math.abs(skewMs) >= NOTABLE_SKEW_MS;
    if (isOff && Math.abs(skewMs - loggedSkewMs) >= NOTABLE_SKEW_MS) {
      const side = clockSkewSeconds > 0 ? "ahead of" : "behind";
      log.warn(
        { event: "clock_skewed", clockSkewSeconds },
        `this machine's clock is ${side} the issuer's`,
      );
      loggedSkewMs = skewMs;
    } else if (!isOff && loggedSkewMs !== 0) {
      log.info(
        { event: "clock_corrected", clockSkewSeconds },
        "this machine's clock agrees with the issuer's again",
      );
      loggedSkewMs = 0;
    }
  };
}

/** Logs changes of the check secret, which has no metrics. */
export function logSecretEvents(log: Logger): CheckSecretEvents {
  return {
    secretChanged: () =>
      log.info({ event: "check_secret_rotated" }, "rotated to the new check secret"),
    secretUnusable: (err) =>
      log.error(
        { event: "check_secret_rejected", err },
        "cannot use the check secret's new content; still using the old secret",
      ),
    secretNotFollowed: (path) => logNotFollowed(log, "the check secret", path),
  };
}

/** Logs changes of the certificates for TLS. */
export function logTlsEvents(log: Logger): TlsEvents {
  return {
    tlsChanged: () =>
      log.info({ event: "tls_changed" }, "new connections use the new certificates"),
    tlsUnusable: (err) =>
      log.error(
        { event: "tls_rejected", err },
        "cannot use the new certificates; still using the old ones",
      ),
  };
}

/** Logs changes of the policy; `onChanged` is called with the new one. */
export function logPolicyEvents(
  log: Logger,
  onChanged: PolicyEvents["policyChanged"],
): PolicyEvents {
  return {
    policyChanged: (policy) => {
      log.info({ event: "policy_changed", callers: policy.callers.length }, "using the new policy");
      onChanged(policy);
    },
    policyUnusable: (err) =>
      log.error(
        { event: "policy_rejected", err },
        "cannot use the policy's new content; still using the old policy",
      ),
  };
}

/** Logs each account of a policy whose tokens cannot be minted. */
export function logAccountRejected(log: Logger): (account: string, error: MintError) => void {
  return (account, err) =>
    log.error(
      { event: "account_rejected", account, err },
      "cannot mint ID tokens of an account that the policy names",
    );
}

/** Logs that a path, such as a pipe, can be read only once. */
export function logNotFollowed(log: Logger, what: string, path: string): void {
  log.info(
    { event: "file_not_followed", path: showPath(path) },
    `${what} can be read only once from here; restart after a change`,
  );
}

/** Reports each event to `one`, then to `other`. */
export function reportToBoth(one: ServerEvents, other: ServerEvents): ServerEvents {
  return {
    minted: (mint) => {
      one.minted(mint);
      other.minted(mint);
    },
    mintFailed: (mint) => {
      one.mintFailed(mint);
      other.mintFailed(mint);
    },
    clockCompared: (skewMs) => {
      one.clockCompared(skewMs);
      other.clockCompared(skewMs);
    },
    rotated: (credential, previous) => {
      one.rotated(credential, previous);
      other.rotated(credential, previous);
    },
    rotationFailed: (failure) => {
      one.rotationFailed(failure);
      other.rotationFailed(failure);
    },
  };
}
