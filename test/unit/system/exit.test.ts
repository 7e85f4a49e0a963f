import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { runCommand } from "../../support/command.ts";
import { makeTemporaryFolder } from "../../support/temporary-folder.ts";

const EXIT = join(import.meta.dirname, "../../../src/system/exit.ts");

/** Runs a program that calls endProcess(3) after some other statements. */
async function run(statements: string) {
  const program = `
    import { endProcess } from ${JSON.stringify(EXIT)};
    import { readFile } from "node:fs/promises";
    ${statements}
    process.on("exit", (code) => console.log("exit listener", code));
    endProcess(3);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
    // A process that does not end must not outlive the test.
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  const [output] = await Promise.all([text(child.stdout), once(child, "close")]);
  return { code: child.exitCode, output };
}

it("an idle process ends by itself with the exit code", async () => {
  expect(await run("")).toEqual({ code: 3, output: "exit listener 3\n" });
});

it("a process with a running timer ends with the exit code", async () => {
  const outcome = await run("setInterval(() => {}, 1000);");
  expect(outcome).toEqual({ code: 3, output: "exit listener 3\n" });
});

it("a process ends although a thread waits for a pipe that has no writer", async () => {
  await using folder = await makeTemporaryFolder();
  const pipe = join(folder.path, "pipe");
  await runCommand("mkfifo", [pipe]);
  const outcome = await run(`void readFile(${JSON.stringify(pipe)});`);
  expect(outcome).toEqual({ code: 3, output: "exit listener 3\n" });
});

it("a failure counts although work that was under way ends with 0 later", async () => {
  const outcome = await run("setImmediate(() => endProcess(0));");
  expect(outcome).toEqual({ code: 3, output: "exit listener 3\n" });
});
