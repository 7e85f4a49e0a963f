import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readBounded } from "../system/bounded-body.ts";
import { codeOf, MintError } from "../system/errors.ts";
import { showPath } from "../system/show.ts";
import { readAgain } from "../system/small-file.ts";
import { fault, objectField, optionalText, textField, type Fields } from "./fields.ts";

/** A program that prints a subject token. */
export interface Executable {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  /** Where the program writes its last answer, which is used while it is valid. */
  readonly outputFile: string | undefined;
}

/** Google's libraries run no program without it. */
const OPT_IN = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
const DEFAULT_TIMEOUT_MS = 30_000;
const TIMEOUT_MS = { minimum: 5000, maximum: 120_000 };
const MAX_OUTPUT_BYTES = 65_536;
const SAML = "urn:ietf:params:oauth:token-type:saml2";

/**
 * Parses an `executable` source. Throws a StartError, also if the environment has not opted in. The
 * rules are those of Google's client libraries (AIP-4117). google-auth-library is not used for it,
 * since it crashes the process when the program cannot be started or is killed.
 */
export function parseExecutable(
  fields: Fields,
  source: Fields,
  env: NodeJS.ProcessEnv,
  account: string | undefined,
): Executable {
  if (env[OPT_IN] !== "1") {
    throw fault(fields, `its credential_source runs a program; set ${OPT_IN}=1 to allow it`);
  }
  const executable = objectField(source, "executable");
  const words = textField(executable, "command").match(/(?:[^\s"]+|"[^"]*")+/g) ?? [];
  const [command = "", ...args] = words.map((word) => word.replace(/^"(.*)"$/, "$1"));
  const timeoutMs = executable.values["timeout_millis"] ?? DEFAULT_TIMEOUT_MS;
  const { minimum, maximum } = TIMEOUT_MS;
  if (typeof timeoutMs !== "number" || !(timeoutMs >= minimum && timeoutMs <= maximum)) {
    throw fault(fields, `its timeout_millis must be a number from ${minimum} to ${maximum}`);
  }
  const outputFile = optionalText(executable, "output_file");
  return {
    command,
    args,
    timeoutMs,
    outputFile,
    env: {
      ...env,
      GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE: textField(fields, "audience"),
      GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE: textField(fields, "subject_token_type"),
      GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE: "0",
      ...(account !== undefined && { GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL: account }),
      ...(outputFile !== undefined && { GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE: outputFile }),
    },
  };
}

/**
 * Returns the cached token if it is valid, otherwise runs the program. When the program ends, takes
 * too long or is no longer needed, all that it has started ends with it. Rejects with a MintError
 * that shows no output.
 */
export async function runExecutable(executable: Executable, signal: AbortSignal): Promise<string> {
  const cached = await readOutputFile(executable.outputFile);
  if (cached !== undefined) return cached;
  signal.throwIfAborted();
  const name = `the executable ${showPath(executable.command)}`;
  let output: string;
  try {
    output = await run(executable, signal);
  } catch (cause) {
    if (signal.reason instanceof MintError) throw signal.reason;
    const reason = cause instanceof ProgramFailure ? cause.message : codeOf(cause);
    throw new MintError("mint_unavailable", `${name} failed: ${reason ?? "unknown failure"}`);
  }
  const token = tokenOf(output);
  if (token !== undefined) return token;
  throw new MintError("mint_invalid_answer", `${name} printed no unexpired subject token`);
}

async function readOutputFile(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const { bytes } = await readAgain(path, "the executable's output");
    return tokenOf(bytes.toString("utf8"), true);
  } catch {
    // Nothing has been written yet.
    return undefined;
  }
}

/** How a program failed. */
class ProgramFailure extends Error {}

/** Resolves with what the program printed. Rejects with a ProgramFailure or a system's error. */
async function run(
  { command, args, env, timeoutMs }: Executable,
  signal: AbortSignal,
): Promise<string> {
  // Detached, it leads a process group, which is how its own children are found.
  const stdio = ["ignore", "pipe", "ignore"] as const;
  const child = spawn(command, args, { env, detached: true, stdio: [...stdio] });
  const end = () => endGroup(child);
  const timer = setTimeout(end, timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  process.once("exit", end);
  // Its children may hold its output open.
  child.once("exit", end);
  try {
    const closed = once(child, "close");
    const [output, [code, signalName]] = await Promise.all([readOutput(child), closed]);
    if (typeof signalName === "string") throw new ProgramFailure(`it was ended by ${signalName}`);
    if (code !== 0) throw new ProgramFailure(`exit code ${code}`);
    return output;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    process.off("exit", end);
    end();
  }
}

async function readOutput({ stdout }: ChildProcess): Promise<string> {
  const output = await readBounded(stdout ?? [], MAX_OUTPUT_BYTES);
  if (output === undefined) {
    throw new ProgramFailure(`it printed more than ${MAX_OUTPUT_BYTES} bytes`);
  }
  return output;
}

/** Ends a program and its children, whatever they do on signals. */
function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // All that are left have ended already, or belong to another user, as by sudo.
    if (!["ESRCH", "EPERM"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** Parses what the program printed; undefined for anything but an unexpired subject token. */
function tokenOf(output: string, mustExpire = false): string | undefined {
  let answer: Readonly<Record<string, unknown>>;
  try {
    answer = Object(JSON.parse(output)) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const { version, success, token_type: type, expiration_time: endsAt } = answer;
  if (version !== 1 || success !== true) return undefined;
  const expired = typeof endsAt === "number" ? endsAt * 1000 <= Date.now() : mustExpire;
  const token = type === SAML ? answer["saml_response"] : answer["id_token"];
  return !expired && typeof token === "string" && token !== "" ? token : undefined;
}
