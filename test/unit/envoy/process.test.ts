import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { EnvoyLogLine } from "../../../src/envoy/log-line.ts";
import { startEnvoyProcess } from "../../../src/envoy/process.ts";
import { createLineLog } from "../../support/line-log.ts";
import { writeFailingEnvoy, writeStandInEnvoy } from "../../support/stand-in-envoy.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const settings = (folder: string) => ({
  configFile: join(folder, "envoy.yaml"),
  adminAddressFile: join(folder, "admin"),
  env: { PATH: process.env["PATH"] },
});

it("reports the lines of both of Envoy's logs, and ends it with SIGTERM", async () => {
  await using folder = await makeTemporaryFolder();
  const log = createLineLog<EnvoyLogLine>();
  const binary = await writeStandInEnvoy(folder.path);
  const options = { ...settings(folder.path), binary, onLine: log.push };
  const envoy = startEnvoyProcess(options);
  const started = await log.line(({ text }) => text === "main: started");
  expect(started).toEqual({ level: "warn", text: "main: started" });
  expect(await log.line(({ text }) => text === "request failed")).toMatchObject({ level: "warn" });
  expect(await readFile(options.adminAddressFile, "utf8")).toMatch(/^127\.0\.0\.1:\d+$/);
  envoy.terminate();
  expect(await envoy.ended).toBe("exit code 0");
});

it("names the signal that killed Envoy", async () => {
  await using folder = await makeTemporaryFolder();
  const binary = await writeStandInEnvoy(folder.path);
  const envoy = startEnvoyProcess({ ...settings(folder.path), binary, onLine: () => {} });
  envoy.kill();
  expect(await envoy.ended).toBe("SIGKILL");
});

it("reports the last lines of an Envoy that fails before it reports its end", async () => {
  await using folder = await makeTemporaryFolder();
  const lines: EnvoyLogLine[] = [];
  const envoy = startEnvoyProcess({
    ...settings(folder.path),
    binary: await writeFailingEnvoy(folder.path),
    onLine: (line) => lines.push(line),
  });
  expect(await envoy.ended).toBe("exit code 1");
  expect(lines).toEqual([{ level: "fatal", text: "main: cannot bind '127.0.0.1:80'" }]);
});

it("ends right away if the program cannot be started", async () => {
  const binary = "/there/is/no/envoy";
  const envoy = startEnvoyProcess({ ...settings("/tmp"), binary, onLine: () => {} });
  expect(await envoy.ended).toContain("ENOENT");
});
