import type { TcpAddress } from "../system/address.ts";
import { placeholdersOf } from "./compose.ts";
import { CONFIGS, envoyConfigNames, type EnvoyConfigName } from "./configs.ts";
import { comment, composeConfig } from "./render.ts";
import { newestEnvoyVersion } from "./versions.ts";

/** A file of `envoy/`: a config with placeholders in place of its values. */
export interface EnvoyTemplate {
  /** The file's name without its extension. */
  readonly file: string;
  readonly name: EnvoyConfigName;
  readonly hasRelay: boolean;
  /** Whether it follows renewed certificates. */
  readonly isReloading: boolean;
}

/** Each config, and the tunnel server's for its image: with a relay, with certificates it follows. */
export const envoyTemplates: readonly EnvoyTemplate[] = [
  ...envoyConfigNames.map((name) => ({ file: name, name, hasRelay: false, isReloading: false })),
  tunnelServer({ hasRelay: true, isReloading: false }),
  tunnelServer({ hasRelay: false, isReloading: true }),
  tunnelServer({ hasRelay: true, isReloading: true }),
];

function tunnelServer(has: Pick<EnvoyTemplate, "hasRelay" | "isReloading">): EnvoyTemplate {
  const name = "tunnel-server";
  return {
    file: name + (has.hasRelay ? "-relay" : "") + (has.isReloading ? "-reload" : ""),
    name,
    ...has,
  };
}

/** A config with `${NAME}` placeholders for envsubst, which are explained at its top. */
export function renderEnvoyTemplate({ name, hasRelay, isReloading }: EnvoyTemplate): string {
  const { body } = composeConfig(name, {
    envoyVersion: newestEnvoyVersion,
    ...(hasRelay && { relay: ANY_ADDRESS }),
    ...(isReloading && { secretsDir: "" }),
  });
  const placeholders = placeholdersOf(body);
  const serviceFlag = placeholders.has("SERVICE_HOST") ? " --service-url URL" : "";
  const serverFlags =
    (hasRelay ? " --relay HOST:PORT" : "") + (isReloading ? " --reload-certs" : "");
  const heading = `${CONFIGS[name].about}

\`idtoken-authz envoy ${name}${serviceFlag}${serverFlags}\` prints this config with its values. To fill it in
yourself, set these variables (the values are examples) and pipe this file through envsubst:

${exampleExports(name, placeholders)}
${placeholders.has("AUTHZ_ADDRESS") ? `\n${CHECK_SECRET_NOTE}\n` : ""}
Generated from src/envoy/parts by \`npm run envoy:write\`.`;
  return `${comment(heading)}\n${body}`;
}

/** Says that there is an address; a placeholder takes its place. */
const ANY_ADDRESS: TcpAddress = { kind: "tcp", host: "", port: 0 };

const CHECK_SECRET_NOTE =
  "Envoy itself reads CHECK_SECRET, if the auth server runs with --check-secret-file.";

function exampleExports(name: EnvoyConfigName, placeholders: ReadonlySet<string>): string {
  const isGateway = CONFIGS[name].part === "gateway";
  const host = isGateway ? "api-abc123-ew.a.run.app" : "tunnel-abc123-ew.a.run.app";
  const files =
    name === "tunnel-server" ? "server.crt and server.key" : "client.crt and client.key";
  const examples: Readonly<Record<string, string>> = {
    ADMIN: "'{}'    # or '{address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}'",
    LISTEN_HOST: "127.0.0.1",
    LISTEN_PORT: isGateway ? "9090" : "7777",
    PORT: "8080    # set by Cloud Run in the container",
    CERT_DIR: `/etc/tunnel/certs    # contains ca.crt, ${files}`,
    SECRETS_DIR:
      "/etc/tunnel/certs    # contains ca.sds.yaml and server.sds.yaml, which name the certificates",
    AUTHZ_CLUSTER_TYPE: "STATIC    # LOGICAL_DNS if the address is a name",
    AUTHZ_ADDRESS:
      "'{socket_address: {address: 127.0.0.1, port_value: 8080}}'    # or '{pipe: {path: /run/authz.sock}}'",
    AUDIENCE: `https://${host}    # must be allowed by the auth server`,
    SERVICE_HOST: host,
    SERVICE_ADDRESS: `${host}    # where to connect; usually the same`,
    SERVICE_PORT: "443",
    ALLOW_ORIGINS: `'[]'    # or '["https://app.example.com"]'`,
    TOKEN_HEADER: "authorization    # as in the auth server's --token-header",
    SERVICE_CA: "/etc/ssl/certs/ca-certificates.crt",
    TARGET_CLUSTER_TYPE: "STATIC    # STRICT_DNS if the host is a name",
    TARGET_HOST: "127.0.0.1",
    TARGET_PORT: "7777",
    RELAY_CLUSTER_TYPE: "STATIC    # STRICT_DNS if the host is a name",
    RELAY_HOST: "127.0.0.1",
    RELAY_PORT: "7778",
  };
  const undocumented = [...placeholders].filter((each) => examples[each] === undefined);
  if (undocumented.length > 0) throw new Error(`no example of ${undocumented.join(", ")}`);
  return Object.entries(examples)
    .filter(([each]) => placeholders.has(each))
    .map(([each, example]) => `  export ${each}=${example}`)
    .join("\n");
}
