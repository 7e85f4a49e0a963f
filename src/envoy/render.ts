import { composeYaml } from "./compose.ts";
import { CONFIGS, type EnvoyConfigName } from "./configs.ts";
import { featuresFor, isFeature } from "./features.ts";
import { readPart } from "./parts.ts";
import { envoyValues, type EnvoyOptions } from "./values.ts";
import {
  hasFeature,
  isVersionFeature,
  lossWithout,
  newestEnvoyVersion,
  type EnvoyVersion,
  type VersionFeatureName,
} from "./versions.ts";

/** A config for a use of it. */
export interface RenderedConfig {
  readonly text: string;
  /** What Envoy's release lacks and what follows from it, one sentence each. */
  readonly losses: readonly string[];
}

/** Renders a complete config. Throws an Error that lists the placeholders of missing options. */
export function renderEnvoyConfig(name: EnvoyConfigName, options: EnvoyOptions): RenderedConfig {
  const { envoyVersion = newestEnvoyVersion } = options;
  const heading = `${CONFIGS[name].about}\n\nPrinted by \`idtoken-authz envoy ${name}\`.`;
  const { body, missing } = composeConfig(name, { ...options, envoyVersion }, envoyValues(options));
  const losses = [...missing].flatMap((feature) => lossWithout(feature) ?? []);
  return {
    text: `${comment(heading)}\n${body}`,
    losses: losses.map((lost) => `Envoy ${envoyVersion} has no ${lost}.`),
  };
}

/** Composes a config, without its heading, and says which features its Envoy release lacks. */
export function composeConfig(
  name: EnvoyConfigName,
  options: EnvoyOptions & { readonly envoyVersion: EnvoyVersion },
  values?: Readonly<Record<string, unknown>>,
): { readonly body: string; readonly missing: ReadonlySet<VersionFeatureName> } {
  const { part } = CONFIGS[name];
  const features = featuresFor(CONFIGS[name].features, options);
  const missing = new Set<VersionFeatureName>();
  const isOn = (feature: string): boolean => {
    if (isVersionFeature(feature)) {
      const has = hasFeature(options.envoyVersion, feature);
      if (!has) missing.add(feature);
      return has;
    }
    if (!isFeature(feature)) throw new Error(`part ${part}: unknown feature ${feature}`);
    return features.has(feature);
  };
  return { body: composeYaml(part, { read: readPart, isOn, values }), missing };
}

/** Turns lines into YAML comments. */
export function comment(text: string): string {
  return `${text.replaceAll(/^.*$/gm, (line) => `# ${line}`.trimEnd())}\n`;
}
