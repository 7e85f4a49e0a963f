import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { createCredentials, TARGET, type Credentials } from "../../support/credential-files.ts";
import { mintFails, mintOnce, readFrom } from "../../support/mint-once.ts";
import { startServer } from "../../support/server-process.ts";

const OPT_IN = { GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES: "1" };
let world: Credentials;

beforeAll(async () => {
  world = await createCredentials();
});
afterAll(() => world?.[Symbol.asyncDispose]());

async function fileFor(executable: Readonly<Record<string, unknown>>): Promise<string> {
  return world.write({ ...world.files.federatedByFile, credential_source: { executable } });
}

async function program(script: string): Promise<string> {
  const path = await world.write(`#!/bin/sh\n${script}\n`, "program.sh");
  await chmod(path, 0o700);
  return path;
}

async function byProgram(script: string, more: Readonly<Record<string, unknown>> = {}) {
  const path = await fileFor({ command: `"${await program(script)}" one`, ...more });
  return readFrom(path, { env: { ...process.env, ...OPT_IN } });
}

/** What a program prints that has a subject token. */
async function answer(changes: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const type = "urn:ietf:params:oauth:token-type:jwt";
  const token = await world.provider.subjectToken();
  const fields = { version: 1, success: true, token_type: type, id_token: token, ...changes };
  return JSON.stringify(fields);
}

/** A script whose child runs until it is killed, and the child's process ID once it runs. */
async function scriptWithChild(end: string) {
  const pidFile = await world.write("", "pid");
  const childPid = async () => {
    await expect.poll(() => readFile(pidFile, "utf8")).toMatch(/^\d+\n$/);
    return Number(await readFile(pidFile, "utf8"));
  };
  const child = `sh -c 'trap "" TERM; while :; do sleep 1; done' &`;
  return { script: `${child}\necho $! >${pidFile}\n${end}`, childPid };
}

/** Whether a process runs; one that has ended may still be listed, until its parent asks for it. */
async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return status !== "" && !/\) Z /.test(status);
}

describe("an executable source", () => {
  it("is refused unless the environment allows it", async () => {
    await expect(readFrom(await fileFor({ command: "/bin/true" }))).rejects.toThrow(
      /set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1/,
    );
  });

  it("runs the program with its arguments and Google's variables", async () => {
    const asked = '[ "$GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL $1" = "TARGET one" ]';
    const script = `${asked.replace("TARGET", TARGET)} && echo '${await answer()}'`;
    expect(await mintOnce(await byProgram(script))).toMatchObject({ email: TARGET });
  });

  it("does not run the program while its output file has a valid token", async () => {
    const soon = Math.floor(Date.now() / 1000) + 60;
    const output_file = await world.write(await answer({ expiration_time: soon }), "output.json");
    expect(await mintOnce(await byProgram("exit 1", { output_file }))).toMatchObject({
      email: TARGET,
    });
    await writeFile(output_file, await answer({ expiration_time: soon - 120 }));
    expect((await mintFails(await byProgram("exit 1", { output_file }))).message).toMatch(
      /program\.sh failed: exit code 1$/,
    );
  });

  it.each([
    ["exit 7", "mint_unavailable", /failed: exit code 7$/],
    ["kill -9 $$", "mint_unavailable", /it was ended by SIGKILL$/],
    ["echo secret-output", "mint_invalid_answer", /printed no unexpired subject token$/],
    ["yes", "mint_unavailable", /failed: it printed more than 65536 bytes$/],
  ])("fails the mint and nothing else if the program does %s", async (script, code, message) => {
    const error = await mintFails(await byProgram(script));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("secret");
  });

  it("fails the mint and nothing else if there is no such program", async () => {
    const path = await fileFor({ command: "/no/such/program" });
    const found = await readFrom(path, { env: OPT_IN });
    expect((await mintFails(found)).message).toBe("the executable /no/such/program failed: ENOENT");
  });

  it("ends the program and its children when the mint is aborted, whatever they do on signals", async () => {
    const { script, childPid } = await scriptWithChild('trap "" TERM\nwhile :; do :; done');
    const found = await byProgram(script);
    const deadline = new AbortController();
    const error = mintFails(found, deadline.signal);
    const pid = await childPid();
    deadline.abort(new MintError("mint_timeout", "late"));
    expect((await error).message).toBe("late");
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  it("does not fail over children of another user, which it may not end", async () => {
    const kill = vi.spyOn(process, "kill").mockImplementation(() => {
      throw Object.assign(new Error("not permitted"), { code: "EPERM" });
    });
    try {
      const source = await byProgram(`echo '${await answer()}'`);
      expect(await mintOnce(source)).toMatchObject({ email: TARGET });
    } finally {
      kill.mockRestore();
    }
  });

  it("ends children that outlive the program, and does not wait for them", async () => {
    const { script, childPid } = await scriptWithChild(`echo '${await answer()}'`);
    expect(await mintOnce(await byProgram(script))).toMatchObject({ email: TARGET });
    const pid = await childPid();
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  it.each([
    ["after a drain", "1s", 1],
    ["on a second signal", "60s", 2],
  ])("leaves nothing running when the server ends %s", async (_when, drainTimeout, signals) => {
    const { script, childPid } = await scriptWithChild("while :; do sleep 1; done");
    const path = await fileFor({ command: await program(script) });
    const flags = [`--credentials=${path}`, "--audience=https://service.example"];
    await using server = await startServer(
      [...flags, "--mint-timeout=60s", `--drain-timeout=${drainTimeout}`],
      OPT_IN,
    );
    const pid = await childPid();
    // The drain waits for this check, and the check for the program.
    const check = request(`${server.url}/check`).end();
    const cutOff = once(check, "error");
    await once(check, "finish");
    await fetch(`${server.url}/livez`);
    for (let count = 0; count < signals; count++) {
      server.signal("SIGTERM");
      await server.event("draining");
    }
    await server.ended;
    await cutOff;
    await expect.poll(() => isRunning(pid)).toBe(false);
  });
});
