import { expect, it } from "vitest";
import { announce } from "../../../src/server/announce.ts";
import { parseConfig } from "../../../src/settings/serve.ts";
import { credentialOf } from "../../support/minted.ts";
import { createContext } from "../../support/server-context.ts";

const ALLOWED = "--allow-audience=https://*.run.app";

function eventsFor(...flags: readonly string[]): readonly string[] {
  const { log, lines } = createContext();
  const config = parseConfig(flags, {});
  const facts = {
    address: config.listen,
    adminAddress: undefined,
    credential: credentialOf("account"),
  };
  announce(config, facts, log);
  return lines.map(({ event }) => event);
}

it("A server on loopback is announced without a warning.", () => {
  expect(eventsFor(ALLOWED)).toEqual(["listening"]);
});

it("An address that others can reach is warned of, unless clients need certificates.", () => {
  const flags = [ALLOWED, "--listen=0.0.0.0:8080"];
  expect(eventsFor(...flags)).toEqual(["listening", "address_exposed"]);
  const tls = ["--tls-cert=a.crt", "--tls-key=a.key"];
  expect(eventsFor(...flags, ...tls)).toEqual(["listening", "address_exposed"]);
  expect(eventsFor(...flags, ...tls, "--client-ca=ca.crt")).toEqual(["listening"]);
});

it("A server that allows no audience is warned of, unless a policy allows some.", () => {
  expect(eventsFor()).toEqual(["listening", "no_audience"]);
  const tls = ["--tls-cert=a.crt", "--tls-key=a.key", "--client-ca=ca.crt"];
  expect(eventsFor(...tls, "--policy=policy.yaml")).toEqual(["listening"]);
});
