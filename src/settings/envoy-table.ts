import { parseAudience } from "../access/audience.ts";
import { newestEnvoyVersion, parseEnvoyVersion } from "../envoy/versions.ts";
import { parsePort } from "../system/address.ts";
import {
  parseAuthServer,
  parseListen,
  parseOrigin,
  parseRemote,
  parseServiceUrl,
} from "./envoy-addresses.ts";
import { findSystemBundle, parseAbsolutePath } from "./paths.ts";
import { serveSettings } from "./serve.ts";
import { one, optional, toggle } from "./table.ts";
import { wholeNumber } from "./values.ts";

const RELOAD_CERTS = toggle({
  flag: "reload-certs",
  defaultNote: "on if --cert-dir has the *.sds.yaml files that certs writes for it",
  help: "Envoy uses renewed certificates for new connections without a restart, by the *.sds.yaml files in --cert-dir.",
});

/** The flags of `envoy`, of all configs together. */
export const envoySettings = {
  service: optional(
    {
      flag: "service-url",
      placeholder: "URL",
      help: "The Cloud Run service, for example https://tunnel-abc123-ew.a.run.app.",
    },
    parseServiceUrl,
  ),
  audience: one(
    {
      flag: "audience",
      placeholder: "AUDIENCE",
      default: "service-url",
      help: "The audience of the service's tokens, which the auth server must allow. For a service with a custom domain, this is its run.app URL.",
    },
    parseAudience,
  ),
  listen: one(
    {
      flag: "listen",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "Where Envoy accepts connections; the default for a gateway is 127.0.0.1:9090. Anyone who can connect can use the service, so keep it on loopback.",
    },
    parseListen,
  ),
  authz: one(
    {
      flag: "authz",
      placeholder: "HOST:PORT|unix:PATH|https://HOST:PORT",
      default: "127.0.0.1:8080",
      help: "Where the auth server listens; with https://, by TLS and with a client certificate.",
    },
    parseAuthServer,
  ),
  authzCertDir: one(
    {
      flag: "authz-cert-dir",
      placeholder: "DIR",
      default: "certs",
      help: "Folder with ca.crt, client.crt and client.key, for an auth server at https://. With the *.sds.yaml files of certs, renewed ones are used without a restart.",
    },
    parseAbsolutePath,
  ),
  tokenHeader: one(
    {
      ...serveSettings.tokenHeader,
      default: "authorization",
      help: "Header that carries the token, as in the auth server's --token-header.",
    },
    (text) => serveSettings.tokenHeader.read([text]),
  ),
  allowOrigins: {
    flag: "allow-origin",
    env: "ALLOW_ORIGIN",
    placeholder: "ORIGIN",
    default: "none",
    help: "Web origins whose pages may use the gateway besides its own pages, for example https://app.example.com. Repeat the flag or separate origins by commas.",
    read: (texts: readonly string[]) =>
      texts.flatMap((text) => text.split(",")).flatMap((text) => parseOrigin(text.trim())),
  },
  allowPrivateAddresses: toggle({
    flag: "allow-private-addresses",
    default: "off",
    help: "Lets gateway-any connect to services whose name resolves to a private, loopback or link-local address, as with private DNS zones.",
  }),
  admin: one(
    {
      flag: "admin",
      placeholder: "HOST:PORT",
      default: "none",
      help: "Where Envoy serves its admin interface, which can stop Envoy, so keep it on loopback.",
    },
    (text) => (text === "none" ? text : parseListen(text)),
  ),
  certDir: one(
    {
      flag: "cert-dir",
      placeholder: "DIR",
      default: "certs",
      help: "Folder with ca.crt and, for the client end of the tunnel, client.crt and client.key, or for the server end, server.crt and server.key.",
    },
    parseAbsolutePath,
  ),
  reloadCerts: {
    ...RELOAD_CERTS,
    read: (texts: readonly string[]) => (texts.length === 0 ? undefined : RELOAD_CERTS.read(texts)),
  },
  sessionTicketKey: optional(
    {
      flag: "session-ticket-key",
      placeholder: "FILE",
      defaultNote: "one that each Envoy makes up",
      help: "File with 80 random bytes, the same for all instances of a tunnel server, so that they resume each other's TLS sessions.",
    },
    parseAbsolutePath,
  ),
  connectTo: optional(
    {
      flag: "connect-to",
      placeholder: "HOST:PORT",
      defaultNote: "the service's own",
      help: "Where to connect instead, for tests and private networks. The certificate there must still be for the service's host.",
    },
    parseRemote,
  ),
  serviceCa: {
    flag: "service-ca",
    placeholder: "FILE",
    defaultNote: "the system's bundle",
    help: "CA certificates (PEM) to verify the service's certificate with.",
    read: (texts: readonly string[]) => parseAbsolutePath(texts.at(-1) ?? findSystemBundle()),
  },
  port: one(
    {
      flag: "port",
      placeholder: "N",
      default: "8080",
      help: "The tunnel server's port, on all addresses of its container.",
    },
    (text) => parsePort(text, 0),
  ),
  target: one(
    {
      flag: "target",
      placeholder: "HOST:PORT",
      default: "127.0.0.1:7777",
      help: "The TCP server behind the tunnel server.",
    },
    parseRemote,
  ),
  streamsPerTunnel: optional(
    {
      flag: "streams-per-tunnel",
      placeholder: "N",
      defaultNote: "a tunnel per connection, without HTTP/2 inside",
      help: "How many connections share a tunnel: one request to Cloud Run, one mTLS session and one token, 1 to 100. Needs a tunnel server of this version, preferably with a relay.",
    },
    wholeNumber(1, 100),
  ),
  relay: optional(
    {
      flag: "relay",
      placeholder: "HOST:PORT",
      defaultNote: "Envoy itself",
      help: "Where idtoken-authz relay listens, which connects the streams of shared tunnels to the TCP server without loss. Its --target must be the same.",
    },
    parseRemote,
  ),
  envoyVersion: one(
    {
      flag: "envoy-version",
      placeholder: "V",
      default: newestEnvoyVersion,
      help: "The Envoy release that the config is for, from 1.36. What an older release does not know is left out, and standard error says what is lost.",
    },
    parseEnvoyVersion,
  ),
  output: optional(
    {
      flag: "output",
      placeholder: "FILE",
      defaultNote: "standard output",
      help: "File to write the config to, for containers without a shell.",
    },
    parseAbsolutePath,
  ),
};
