import type { CheckSecretEvents } from "../access/check-secret.ts";
import type { SwapEvents } from "../credentials/reloader.ts";
import type { Logger } from "./logger.ts";
import type { MintEvents } from "../tokens/mint-queue.ts";

/** What happens to tokens and to the credential, for the log and the metrics alike. */
export type ServerEvents = MintEvents & SwapEvents;

/** Less is the network's and the second's doing; Google refuses assertions that are minutes off. */
const NOTABLE_SKEW_MS = 10_000;

/** Events that write a line each, a clock's skew when it is new. */
export function logEvents(log: Logger): ServerEvents {
  let warnedOfSkewMs = 0;
  return {
    minted: ({ token: { audience, expiresAtSeconds }, reason, durationMs }) =>
      log.info({ audience, reason, durationMs, expiresAtSeconds }, "minted an ID token"),
    mintFailed: ({ audience, reason, error, durationMs }) => {
      const facts = { audience, reason, err: error, durationMs };
      switch (reason) {
        case "cold":
          return log.error(facts, "no ID token can be had");
        case "renewal":
          return log.warn(facts, "renewal failed; the unexpired token is served meanwhile");
        case "swap":
          return log.debug(facts, "the new credential could not mint");
      }
    },
    clockCompared: (skewMs) => {
      const seconds = Math.round(skewMs / 1000);
      const isOff = Math.abs(skewMs) >= NOTABLE_SKEW_MS;
      if (isOff && Math.abs(skewMs - warnedOfSkewMs) >= NOTABLE_SKEW_MS) {
        const side = seconds > 0 ? "ahead of" : "behind";
        log.warn({ clockSkewSeconds: seconds }, `this machine's clock is ${side} the issuer's`);
        warnedOfSkewMs = skewMs;
      } else if (!isOff && warnedOfSkewMs !== 0) {
        log.info({ clockSkewSeconds: seconds }, "this machine's clock agrees with the issuer's");
        warnedOfSkewMs = 0;
      }
    },
    swapped: ({ principal, keyId }, previous) =>
      log.info(
        { principal, keyId, previous: { principal: previous.principal, keyId: previous.keyId } },
        "changed the credential",
      ),
    swapFailed: ({ outcome, error, isNew }) =>
      log[isNew ? "error" : "debug"](
        { outcome, err: error },
        "the credential file's new content is not used; the old credential stays",
      ),
  };
}

/** What happens to the check secret, which only the log tells of. */
export function logSecretEvents(log: Logger): CheckSecretEvents {
  return {
    secretChanged: () => log.info("changed the check secret"),
    secretUnusable: (err) =>
      log.error({ err }, "the check secret's new content is not used; the old secret stays"),
  };
}

/** Events that tell both. */
export function tellBoth(one: ServerEvents, other: ServerEvents): ServerEvents {
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
    swapped: (credential, previous) => {
      one.swapped(credential, previous);
      other.swapped(credential, previous);
    },
    swapFailed: (failure) => {
      one.swapFailed(failure);
      other.swapFailed(failure);
    },
  };
}
