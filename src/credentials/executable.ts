import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { MintError } from "../system/errors.ts";
import { fault, objectField, optionalText, textField, type Fields } from "./fields.ts";

/** A program that prints a subject token. */
export interface Executable {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  /** Where the program leaves its last answer, to be used while it is valid. */
  readonly outputFile: string | undefined;
}

/** What Google's libraries ask for before they run anything. */
const OPT_IN = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
const DEFAULT_TIMEOUT_MS = 30_000;
const TIMEOUT_MS = { minimum: 5000, maximum: 120_000 };
const MAX_OUTPUT_BYTES = 65_536;
const SAML = "urn:ietf:params:oauth:token-type:saml2";

const run = promisify(execFile);

/**
 * Reads an `executable` source. Throws a StartError, also where the environment has not opted in.
 * The rules are those of Google's client libraries (AIP-4117); this one runs the program itself,
 * since google-auth-library crashes the process when it cannot be started, or is killed.
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

/** Runs the program, or takes what it left. Rejects with a MintError that shows no output. */
export async function runExecutable(executable: Executable, signal: AbortSignal): Promise<string> {
  const { command, args, env, timeoutMs, outputFile } = executable;
  const left = outputFile === undefined ? undefined : await readLeft(outputFile);
  if (left !== undefined) return left;
  signal.throwIfAborted();
  const limits = {
    timeout: timeoutMs,
    maxBuffer: MAX_OUTPUT_BYTES,
    killSignal: "SIGKILL",
  } as const;
  const running = run(command, args, { ...limits, env });
  // Its own `signal` option would end the program with a SIGTERM, which it may ignore.
  const end = () => running.child.kill(limits.killSignal);
  signal.addEventListener("abort", end, { once: true });
  let output: string;
  try {
    ({ stdout: output } = await running);
  } catch (cause) {
    if (signal.reason instanceof MintError) throw signal.reason;
    throw new MintError(
      "mint_unavailable",
      `the executable ${command} failed: ${howItEnded(cause)}`,
    );
  } finally {
    signal.removeEventListener("abort", end);
  }
  const token = tokenOf(output);
  if (token !== undefined) return token;
  const message = `the executable ${command} printed no unexpired subject token`;
  throw new MintError("mint_invalid_answer", message);
}

async function readLeft(path: string): Promise<string | undefined> {
  try {
    return tokenOf(await readFile(path, "utf8"), true);
  } catch {
    // It has left nothing yet.
    return undefined;
  }
}

/** Reads what the program printed; undefined for anything but an unexpired subject token. */
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

function howItEnded(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown failure";
  const { code, signal } = cause as { code?: unknown; signal?: unknown };
  if (typeof signal === "string") return `it was ended by ${signal}`;
  if (typeof code === "number") return `exit code ${code}`;
  return typeof code === "string" ? code : "unknown failure";
}
