/** Something in the configs that Envoy knows only since some release. */
interface VersionFeature {
  /** The first release that knows it, as in `1.39`. */
  readonly since: string;
  /** What an older Envoy lacks and what follows from it; nothing if it behaves the same anyway. */
  readonly lost?: string;
}

/** By the names that conditions in the parts use. */
const VERSION_FEATURES = {
  "listener-keepalive": {
    since: "1.37",
    lost: "tcp_keepalive on listeners: connections of clients that vanished stay open",
  },
  "early-data": {
    since: "1.37",
    lost: "max_early_data_bytes: a tunnel is opened even if its client disconnects before",
  },
  "connect-after-handshake": {
    since: "1.37",
    lost: "upstream_connect_mode: the TCP server sees a connection even if the client's TLS handshake fails",
  },
  // Off in the configs, as it is in releases that do not know it.
  "stream-reset-to-rst": { since: "1.38" },
  "stream-reset-limits": {
    since: "1.39",
    lost: "stream_reset_burst and stream_reset_rate: after 1000 cancelled streams, or 33 a second, a client's connection is closed with all its streams",
  },
  "connection-jitter": { since: "1.39" },
  // Off in the configs, as it is in releases that do not know it.
  "user-space-socket-rst": { since: "1.40" },
} as const satisfies Readonly<Record<string, VersionFeature>>;

/** A feature that depends on Envoy's release. */
export type VersionFeatureName = keyof typeof VERSION_FEATURES;

const OLDEST_MINOR = 36;
/** The newest release that the configs are tested on. */
const NEWEST_MINOR = 40;

/** An Envoy release, without its patch level. */
export type EnvoyVersion = `1.${number}`;

/** The oldest release that the configs work on. */
export const oldestEnvoyVersion: EnvoyVersion = `1.${OLDEST_MINOR}`;

/** The release that configs are for unless another one is given. */
export const newestEnvoyVersion: EnvoyVersion = `1.${NEWEST_MINOR}`;

/**
 * Parses a release such as `1.38` or `1.38.3`. Throws an Error whose message is the rule if it is
 * outside the tested range.
 */
export function parseEnvoyVersion(text: string): EnvoyVersion {
  const [, minor] = /^1\.(\d{1,3})(?:\.\d{1,3})?$/.exec(text) ?? [];
  if (minor === undefined || Number(minor) < OLDEST_MINOR || Number(minor) > NEWEST_MINOR) {
    throw new Error(
      `must be an Envoy release from 1.${OLDEST_MINOR} to ${newestEnvoyVersion}, as in 1.38`,
    );
  }
  return `1.${Number(minor)}`;
}

/**
 * The release to write a config for where this one runs it, as in `1.40.0`: its own, or the newest
 * known for one that is newer still.
 */
export function configVersion(release: string): EnvoyVersion {
  const [major = 1, minor = NEWEST_MINOR] = release.split(".").map(Number);
  return major > 1 ? newestEnvoyVersion : `1.${Math.min(minor, NEWEST_MINOR)}`;
}

/** Whether a feature depends on the release. */
export function isVersionFeature(feature: string): feature is VersionFeatureName {
  return Object.hasOwn(VERSION_FEATURES, feature);
}

/** Whether a release has a feature. */
export function hasFeature(version: EnvoyVersion, feature: VersionFeatureName): boolean {
  return minorOf(version) >= minorOf(VERSION_FEATURES[feature].since);
}

/** What is lost without a feature, for a person; undefined if nothing is. */
export function lossWithout(feature: VersionFeatureName): string | undefined {
  const { lost }: VersionFeature = VERSION_FEATURES[feature];
  return lost;
}

function minorOf(version: string): number {
  return Number(version.split(".")[1]);
}
