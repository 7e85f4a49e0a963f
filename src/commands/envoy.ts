import { writeFile } from "node:fs/promises";
import { envoyConfigNames } from "../envoy/configs.ts";
import { renderEnvoyConfig } from "../envoy/render.ts";
import { hasSecretFiles } from "../envoy/secret-files.ts";
import { envoySettings } from "../settings/envoy-table.ts";
import {
  envoySettingsForHelp,
  notesOn,
  parseEnvoyFlags,
  type EnvoyFlags,
} from "../settings/envoy.ts";
import { firstPositional, formatHelp } from "../settings/table.ts";
import { StartError, systemReason } from "../system/errors.ts";

/** What `envoy --help` prints or, for one config, `envoy NAME --help`. */
export function envoyHelp(argv: readonly string[]): string {
  const name = firstPositional(envoySettings, argv);
  const usage = `Usage: idtoken-authz envoy NAME [flags]

Prints a complete Envoy config. NAME is one of
  ${envoyConfigNames.join("\n  ")}
Flags that the config does not use are refused; envoy NAME --help lists those that it uses.`;
  return formatHelp(usage, envoySettingsForHelp(name));
}

/**
 * Prints a complete Envoy config, or writes it to a file, and says on standard error what the given
 * Envoy release lacks and what may not be meant. Resolves with the exit
 * code 0. Throws a UsageError that lists every fault before anything is printed, or a StartError if
 * the file cannot be written.
 */
export async function envoyCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  io: { readonly stdout: (text: string) => void; readonly stderr: (text: string) => void },
): Promise<number> {
  const { name, options } = parseEnvoyFlags(argv, env);
  const secretsDir = followsCertificates(options) ? options.certDir : undefined;
  const { text, losses } = renderEnvoyConfig(name, {
    ...options,
    secretsDir,
    followsAuthzCerts: followsAuthzCertificates(options),
  });
  if (options.output === undefined) io.stdout(text);
  else await writeConfig(options.output, text);
  for (const note of [...losses, ...notesOn(options)]) io.stderr(`${note}\n`);
  return 0;
}

function followsCertificates({ certDir, reloadCerts }: EnvoyFlags): boolean {
  return reloadCerts ?? (certDir !== undefined && hasSecretFiles(certDir));
}

function followsAuthzCertificates({ authz, authzCertDir }: EnvoyFlags): boolean {
  return authz?.kind === "https" && authzCertDir !== undefined && hasSecretFiles(authzCertDir);
}

async function writeConfig(path: string, config: string): Promise<void> {
  try {
    await writeFile(path, config);
  } catch (cause) {
    throw new StartError(`cannot write the config: ${systemReason(cause)}`, { cause });
  }
}
