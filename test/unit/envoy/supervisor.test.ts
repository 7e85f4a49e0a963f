import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { superviseEnvoy } from "../../../src/envoy/supervisor.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { StartError } from "../../../src/system/errors.ts";
import { createJournal } from "../../support/journal.ts";
import { writeFailingEnvoy, writeStandInEnvoy } from "../../support/stand-in-envoy.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

let parts = new AsyncDisposableStack();
afterEach(async () => {
  await parts.disposeAsync();
  parts = new AsyncDisposableStack();
});

/** Supervises a program as Envoy, and records what the supervisor reports and guards. */
async function setUp(writeProgram: (folder: string) => Promise<string>) {
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const journal = createJournal<string>();
  const guarded: (number | undefined)[] = [];
  const adminAddressFile = join(folder, "admin");
  const envoy = superviseEnvoy(
    {
      binary: await writeProgram(folder),
      configFile: join(folder, "envoy.yaml"),
      adminAddressFile,
      env: { PATH: process.env["PATH"] },
      clock: systemClock,
      events: {
        line: ({ text }) => journal.record(text),
        ended: (how, pauseMs) => journal.record(`${how}, pause ${pauseMs} ms`),
        restarted: () => journal.record("restarted"),
      },
    },
    { guard: (group) => guarded.push(group), close: async () => {} },
  );
  parts.defer(envoy.kill);
  const crash = async () => {
    const address = await readFile(adminAddressFile, "utf8");
    await fetch(`http://${address}/crash`, { method: "POST" }).catch(() => {});
  };
  const recorded = async (entry: string) => {
    while (!journal.entries.includes(entry)) await journal.next();
  };
  return { envoy, guarded, entries: journal.entries, recorded, crash };
}

describe("a supervised Envoy", () => {
  it("is ready once it accepts connections, and guarded by the watchdog", async () => {
    const { envoy, guarded, recorded } = await setUp(writeStandInEnvoy);
    expect(envoy.state()).toBe("starting");
    await envoy.start();
    expect(envoy.state()).toBe("ready");
    expect(guarded).toEqual([expect.any(Number)]);
    await recorded("main: started");
    expect(await envoy.metrics()).toBe("LIVE");
  });

  it("rejects the start with Envoy's own error if it ends before it is ready", async () => {
    const { envoy, entries, guarded } = await setUp(writeFailingEnvoy);
    await expect(envoy.start()).rejects.toThrow(
      new StartError("Envoy ended (exit code 1): main: cannot bind '127.0.0.1:80'"),
    );
    expect(guarded.at(-1)).toBeUndefined();
    expect(entries).toEqual([]);
  });

  it("is started again when it dies", async () => {
    const { envoy, recorded, crash } = await setUp(writeStandInEnvoy);
    await envoy.start();
    await crash();
    await recorded("exit code 7, pause 100 ms");
    await recorded("restarted");
    expect(envoy.state()).toBe("ready");
    expect(envoy.restarts()).toBe(1);
  });

  it("is ended by a drain once nothing is open, and not started again", async () => {
    const { envoy, entries } = await setUp(writeStandInEnvoy);
    await envoy.start();
    await envoy.drain(60_000);
    expect(envoy.state()).toBe("stopped");
    expect(entries.filter((entry) => entry.includes("pause"))).toEqual([]);
    expect(envoy.restarts()).toBe(0);
  });

  it("is asked again in a drain if it does not answer in time", async () => {
    const { envoy, entries } = await setUp(writeStandInEnvoy);
    await envoy.start();
    await envoy.drain(60_000);
    expect(entries).toContain("main: open: 0");
  });
});
