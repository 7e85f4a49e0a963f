import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { envoyCommand, parseEnvoyFlags } from "../../../src/commands/envoy.ts";
import { envoyVariables } from "../../../src/envoy/compose.ts";
import { UsageError } from "../../../src/system/errors.ts";

const SERVICE = "--service-url=https://API-abc123-ew.a.run.app/";

function variablesFor(...flags: readonly string[]) {
  return envoyVariables(parseEnvoyFlags(["gateway", SERVICE, ...flags]).options);
}

/** Every value of a key, wherever it is. */
function valuesOf(node: unknown, key: string): readonly unknown[] {
  if (typeof node !== "object" || node === null) return [];
  return Object.entries(node).flatMap(([name, value]) =>
    name === key ? [value] : valuesOf(value, key),
  );
}

describe("envoy gateway", () => {
  it("listens on port 9090 of loopback unless told otherwise", () => {
    expect(variablesFor()).toMatchObject({ LISTEN_HOST: "127.0.0.1", LISTEN_PORT: "9090" });
    const other = variablesFor("--listen=[::1]:80");
    expect(other).toMatchObject({ LISTEN_HOST: "::1", LISTEN_PORT: "80" });
  });

  it("asks for tokens for the service's URL, or for the audience that is given", () => {
    expect(variablesFor()).toMatchObject({ AUDIENCE: "https://api-abc123-ew.a.run.app" });
    const onPort = variablesFor("--service-url=https://api.example.com:8443");
    expect(onPort).toMatchObject({ AUDIENCE: "https://api.example.com:8443" });
    const given = variablesFor("--audience=123.apps.googleusercontent.com");
    expect(given).toMatchObject({ AUDIENCE: "123.apps.googleusercontent.com" });
  });

  it.each(["", "https://*.run.app", 'a"b', "a\\b", "a$b", "a\nb"])(
    "refuses the audience %j before anything is printed",
    async (audience) => {
      const printed: string[] = [];
      const stdout = (text: string) => void printed.push(text);
      const argv = ["gateway", SERVICE, "--audience", audience];
      await expect(envoyCommand(argv, { stdout })).rejects.toThrow(UsageError);
      expect(printed).toEqual([]);
    },
  );

  it("cuts no stream, however long or idle", async () => {
    const template = join(import.meta.dirname, "../../../envoy/gateway.yaml");
    const config: unknown = parse(await readFile(template, "utf8"));
    const routes = valuesOf(config, "route") as readonly { readonly timeout?: string }[];
    expect(routes.map(({ timeout }) => timeout)).toEqual(["0s", "0s"]);
    expect(valuesOf(config, "stream_idle_timeout")).toEqual(["0s"]);
    for (const bound of ["max_stream_duration", "request_timeout", "max_connection_duration"]) {
      expect(valuesOf(config, bound)).toEqual([]);
    }
  });
});
