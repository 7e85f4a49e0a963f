import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseCertsFlags } from "../../src/commands/certs.ts";
import { parseDoctorFlags } from "../../src/settings/doctor.ts";
import { parseEnvoyFlags } from "../../src/settings/envoy.ts";
import { parseRelayConfig } from "../../src/settings/relay.ts";
import { parseConfig } from "../../src/settings/serve.ts";
import { parseUpFlags } from "../../src/settings/up.ts";
import { ROOT } from "../support/server-process.ts";
import { readDocuments } from "./documents.ts";
import { openRecordingShell, type Invocation, type RecordingShell } from "./shell.ts";

/** What a reader has after the steps that a document describes in words. */
const FILES = {
  "key.json": "{}",
  "credential.json": "{}",
  "check-secret": "secret",
  "big.iso": "",
};

const manifest = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as {
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
};

/** Throws an Error if the invocation is not one that its program accepts. */
type Validate = (invocation: Invocation, shell: RecordingShell) => void | Promise<void>;

/** The commands of this program: each set of flags goes through the command's own parser. */
const COMMANDS: Readonly<Record<string, Validate>> = {
  serve: ({ args, env }) => void parseConfig(args, env),
  envoy: ({ args }) => void parseEnvoyFlags(args, {}),
  up: ({ args, env }) => void parseUpFlags(args, env, false),
  doctor: ({ args, env }) => void parseDoctorFlags(args, env),
  relay: ({ args, env }) => void parseRelayConfig(args, env),
  certs: ({ args, env }) => void parseCertsFlags(args, env),
  healthcheck: ({ args, env }) => void parseConfig(args, env),
};

/** Others' programs that the documents use; only those listed here may be started. */
const PROGRAMS: Readonly<Record<string, Validate>> = {
  npm: validateNpm,
  "idtoken-authz": validateProgram,
  npx: validateNpx,
  envoy: validateEnvoy,
  docker: validateDocker,
  curl: () => {},
  gcloud: validateFiles,
  go: () => {},
  grpcurl: () => {},
  kubectl: validateFiles,
  nc: () => {},
  openssl: () => {},
};

function validateNpm({ args, env }: Invocation, shell: RecordingShell): void | Promise<void> {
  const [verb = "", ...rest] = args.filter((arg) => arg !== "-s");
  if (["ci", "pack", "test"].includes(verb)) return expect(rest).toEqual([]);
  if (verb === "install") return expect(rest).toEqual([`./idtoken-authz-${manifest.version}.tgz`]);
  const [script = "", ...flags] = verb === "run" ? rest : [verb, ...rest];
  expect(Object.keys(manifest.scripts)).toContain(script);
  const command = /^node src\/main\.ts (\w+)$/.exec(manifest.scripts[script] ?? "")?.[1];
  if (command === undefined) return;
  if (flags.length > 0) expect(flags[0]).toBe("--");
  return validateCommand(command, { program: "idtoken-authz", args: flags.slice(1), env }, shell);
}

function validateCommand(command: string, invocation: Invocation, shell: RecordingShell) {
  const validate = COMMANDS[command];
  if (validate === undefined) throw new Error(`${command} is not a command`);
  // Sentences name commands without their flags.
  if (invocation.args.length > 0) return validate(invocation, shell);
}

/** Its config must have been printed by an earlier command of the same document. */
async function validateEnvoy({ args }: Invocation, shell: RecordingShell): Promise<void> {
  expect(args[0]).toBe("-c");
  const source = await shell.printedBy(args[1] ?? "");
  expect(source?.args.join(" ")).toMatch(/^(?:run -s )?envoy -- /);
}

function validateDocker({ args, env }: Invocation, shell: RecordingShell): void | Promise<void> {
  const [verb, ...rest] = args;
  if (verb === "build") return validateBuild(rest);
  if (verb === "compose") return validateCompose(rest, env);
  expect(verb).toBe("run");
  const at = rest.findIndex((arg) => arg.startsWith("idtoken-authz"));
  const image = rest[at] ?? "";
  expect(["idtoken-authz", "idtoken-authz-up"]).toContain(image);
  const options = rest.slice(0, at).filter((arg) => arg.startsWith("-"));
  expect(options.filter((option) => !["--rm", "-p", "-v"].includes(option))).toEqual([]);
  return validateProgram({ program: image, args: rest.slice(at + 1), env }, shell);
}

/** A `--target` must be a stage of the Dockerfile. */
async function validateBuild(args: readonly string[]): Promise<void> {
  const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
  const target = args[args.indexOf("--target") + 1];
  if (args.includes("--target")) expect(dockerfile).toMatch(new RegExp(` AS ${target}$`, "m"));
}

/** Every variable that compose.yaml insists on must be set. */
async function validateCompose(args: readonly string[], env: Invocation["env"]): Promise<void> {
  const [verb, ...services] = args;
  expect(verb).toBe("up");
  const compose = await readFile(join(ROOT, "compose.yaml"), "utf8");
  const required = [...compose.matchAll(/\$\{(\w+):\?/g)].map(([, name = ""]) => name);
  expect(required.filter((name) => env[name] === undefined)).toEqual([]);
  for (const service of services) expect(compose).toContain(`\n  ${service}:\n`);
}

/** Files of this project must exist. */
function validateFiles({ args }: Invocation): void {
  const missing = args.filter((arg) => arg.startsWith("deploy/") && !existsSync(join(ROOT, arg)));
  expect(missing).toEqual([]);
}

function validateNpx(
  { args: [program = "", ...args], env }: Invocation,
  shell: RecordingShell,
): void | Promise<void> {
  if (program === "idtoken-authz") return validateProgram({ program, args, env }, shell);
  return expect([program, args[0]]).toEqual(["vitest", "run"]);
}

function validateProgram(invocation: Invocation, shell: RecordingShell): void | Promise<void> {
  const [first = "serve", ...others] = invocation.args;
  if (first === "--help") return;
  const [command, args] = first.startsWith("-") ? ["serve", invocation.args] : [first, others];
  return validateCommand(command, { ...invocation, args }, shell);
}

const documents = (await readDocuments()).filter(
  ({ commands, inlineCommands }) => commands.length + inlineCommands.length > 0,
);

describe.each(documents)("$path", ({ commands, inlineCommands }) => {
  it("prints only commands that a shell runs and that their own parsers accept", async () => {
    await using shell = await openRecordingShell(Object.keys(PROGRAMS), FILES);
    for (const block of [...commands, ...inlineCommands]) {
      const invocations = await shell.run(block);
      expect(invocations).not.toEqual([]);
      for (const invocation of invocations) {
        await PROGRAMS[invocation.program]?.(invocation, shell);
      }
    }
  });
});

describe("A command block", () => {
  it.each([
    ["npm start -- --audiense https://api.example.com", "--audiense: unknown flag"],
    ["npm start -- --refresh-at 2", "--refresh-at"],
    ["npm run -s envoy -- gateways --service-url https://api.example.com", "gateways"],
    ["npm run -s envoys -- gateway", "envoys"],
    ["npm start --audience https://api.example.com", "--audience"],
    ["envoy -c gateway.yaml", "undefined"],
    ["docker build --target tunnel-servers .", "tunnel-servers"],
    ["docker compose up", "RUN_AS"],
    ["kubectl apply -k deploy/kubernetes/bases", "deploy/kubernetes/bases"],
  ])("that says `%s` is refused", async (block, message) => {
    await using shell = await openRecordingShell(Object.keys(PROGRAMS), FILES);
    const [invocation] = await shell.run(block);
    const validate = async () => invocation && PROGRAMS[invocation.program]?.(invocation, shell);
    await expect(validate()).rejects.toThrow(message);
  });

  it("that starts an unlisted program is refused", async () => {
    await using shell = await openRecordingShell(Object.keys(PROGRAMS), FILES);
    await expect(shell.run("wget http://127.0.0.1:9090/")).rejects.toThrow("wget");
  });
});
