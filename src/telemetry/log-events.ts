/**
 * Every value of a log line's `event` field, with its meaning. Names are stable, for alerts and
 * tests to match; the message beside them is for people and may change.
 */
export const LOG_EVENTS = {
  listening:
    "The server accepts connections; the line names addresses and, for `serve`, credential and audiences.",
  address_exposed: "The listen address can be reached from other machines.",
  no_audience: "No audience is configured or allowed, so every check is refused.",
  minted: "An ID token was minted.",
  mint_failed: "A mint failed; `reason` says whether callers were waiting for it.",
  clock_skewed: "This machine's clock differs from the issuer's by 10 seconds or more.",
  clock_corrected: "This machine's clock agrees with the issuer's again.",
  credential_rotated: "A new credential is in use.",
  credential_rejected: "The credential file changed, but its new content cannot be used.",
  check_secret_rotated: "A new check secret is in use.",
  check_secret_rejected: "The check secret's file changed, but its new content cannot be used.",
  check_denied:
    "With TLS for clients: a check was denied; the line names caller, audience and code.",
  policy_changed: "A new policy is in use.",
  policy_rejected: "The policy's file changed, but its new content cannot be used.",
  account_rejected:
    "No token of an account that the policy names can be minted; its callers get 503.",
  tls_changed: "New certificates are in use for new connections.",
  tls_rejected: "A certificate's file changed, but its new content cannot be used.",
  file_not_followed:
    "The credential or the check secret was read from a pipe; a change needs a restart.",
  envoy_log: "Under `up`: a line of Envoy's own log, or a request that failed in Envoy.",
  envoy_ended: "Under `up`: Envoy ended by itself; it is started again after a pause.",
  envoy_restarted: "Under `up`: Envoy accepts connections again.",
  target_unreachable: "The relay could not connect to the TCP server.",
  internal_error: "A bug: a request failed in an unexpected way.",
  draining: "A shutdown began; open requests are being finished.",
  stopped: "The shutdown is complete.",
} as const;

/** A value of the `event` field. */
export type LogEvent = keyof typeof LOG_EVENTS;
