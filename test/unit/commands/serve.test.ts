import { expect, it } from "vitest";
import { serveCommand, serveHelp } from "../../../src/commands/serve.ts";
import { serveSettings } from "../../../src/settings/serve.ts";
import { StartError, UsageError } from "../../../src/system/errors.ts";

it("the help has every flag and fits 100 columns", () => {
  const help = serveHelp();
  for (const { flag } of Object.values(serveSettings)) expect(help).toContain(`--${flag}`);
  expect(Math.max(...help.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
});

it("wrong flags are a UsageError, before anything is started", async () => {
  await expect(serveCommand(["--wrong"], { MINT_TIMEOUT: "soon" })).rejects.toThrow(
    new UsageError([
      "--wrong: unknown flag; --help lists the known ones",
      'MINT_TIMEOUT "soon": must be a time such as 500ms, 5s or 1m, from 100 to 60000 ms',
    ]),
  );
});

it("a credential that is missing is a StartError with its path", async () => {
  const start = serveCommand(["--credentials=/no/such/key.json", "--listen=127.0.0.1:0"], {});
  await expect(start).rejects.toThrow(StartError);
  await expect(start).rejects.toThrow("/no/such/key.json");
});
