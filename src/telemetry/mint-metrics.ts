import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Credential } from "../credentials/credential.ts";
import type { RotationEvents, RotationOutcome } from "../credentials/reloader.ts";
import { MINT_CODES } from "../system/errors.ts";
import type { MintEvents } from "../tokens/mint-queue.ts";

/** Exported as 0 from the start, so that a rate over them is never missing. */
const ROTATION_OUTCOMES: readonly RotationOutcome[] = ["ok", "invalid_file", ...MINT_CODES];
const MINT_BUCKETS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Creates the metrics of mints and of the clock that they are compared with. */
export function createMintMetrics(registry: Registry): MintEvents {
  const total = new Counter({
    name: "idtoken_authz_mints_total",
    help: "Attempts to mint an ID token, by outcome and reason.",
    labelNames: ["outcome", "reason"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "idtoken_authz_mint_duration_seconds",
    help: "Time to mint an ID token, including the wait in the queue.",
    buckets: MINT_BUCKETS,
    registers: [registry],
  });
  const skew = new Gauge({
    name: "idtoken_authz_clock_skew_seconds",
    help: "Seconds by which this machine's clock is ahead of the issuer's; negative when behind.",
    registers: [registry],
  });
  return {
    clockCompared: (skewMs) => skew.set(skewMs / 1000),
    minted: ({ reason, durationMs }) => {
      total.inc({ outcome: "ok", reason });
      seconds.observe(durationMs / 1000);
    },
    mintFailed: ({ error, reason, durationMs }) => {
      total.inc({ outcome: error.code, reason });
      seconds.observe(durationMs / 1000);
    },
  };
}

/** Creates the metrics of the credential in use and of its rotation. */
export function createCredentialMetrics(registry: Registry, initial: Credential): RotationEvents {
  let current = initial;
  const info: Gauge = new Gauge({
    name: "idtoken_authz_credential_info",
    help: "The credential in use; always 1.",
    labelNames: ["type", "principal", "key_id"],
    registers: [registry],
    collect: () => {
      // A metadata server may have reported another principal since the last scrape.
      const { type, principal, keyId } = current;
      info.reset();
      info.set({ type, principal, key_id: keyId }, 1);
    },
  });
  const rotations = new Counter({
    name: "idtoken_authz_credential_swaps_total",
    help: "Attempts to rotate to the credential file's new content, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of ROTATION_OUTCOMES) rotations.inc({ outcome }, 0);

  return {
    rotated: (credential) => {
      rotations.inc({ outcome: "ok" });
      current = credential;
    },
    rotationFailed: ({ outcome }) => rotations.inc({ outcome }),
  };
}
