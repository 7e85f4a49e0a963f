import manifest from "../package.json" with { type: "json" };
import { StartError, UsageError } from "./system/errors.ts";
import { endProcess } from "./system/exit.ts";
import { quote } from "./system/show.ts";
import { createStandardStreams } from "./system/standard-streams.ts";

const HELP = `Usage: idtoken-authz [serve] [flags]
       idtoken-authz up NAME [flags]
       idtoken-authz envoy NAME [flags]
       idtoken-authz doctor [flags]
       idtoken-authz certs DIR
       idtoken-authz relay [flags]
       idtoken-authz healthcheck [flags of serve]

  serve        answers Envoy's ext_authz checks with Google-signed ID tokens (the default)
  up           runs the auth server and an Envoy with one of the client configs, as one
  envoy        prints a complete Envoy config
  doctor       checks credentials, network, clock and permissions, and suggests remedies
  certs        creates a development CA and the tunnel's two certificates
  relay        connects the streams of shared tunnels to the TCP server, next to tunnel-server
  healthcheck  asks this container's server whether it is ready

Run idtoken-authz COMMAND --help for its flags. --version prints the version.
`;

// Node.js would open its debugger on a port, where every local user could read keys and tokens.
process.on("SIGUSR1", () => {});
const io = createStandardStreams(process, () => endProcess(1));

function print(text: string): number {
  io.stdout(text);
  return 0;
}

void main(process.argv.slice(2), process.env).then(endProcess);

/** Runs one command. Resolves with the exit code: 0 success, 1 failure, 2 wrong usage. */
async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [first = "serve", ...others] = argv;
  const [command, rest] = first.startsWith("-") ? ["serve", argv] : [first, others];
  try {
    if (rest.includes("--version")) return print(`${manifest.version}\n`);
    if (argv.length === 1 && argv[0] === "--help") return print(HELP);
    return await runCommand(command, rest, env);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    io.stderr(`${error.message}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Loads a command only when it runs, so that `serve` starts without the others' libraries. */
async function runCommand(
  command: string,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const help = argv.includes("--help");
  switch (command) {
    case "serve": {
      const { serveCommand, serveHelp } = await import("./commands/serve.ts");
      return help ? print(serveHelp()) : serveCommand(argv, env);
    }
    case "up": {
      const { upCommand, upHelp } = await import("./commands/up.ts");
      return help ? print(upHelp(argv)) : upCommand(argv, env, io);
    }
    case "envoy": {
      const { envoyCommand, envoyHelp } = await import("./commands/envoy.ts");
      return help ? print(envoyHelp(argv)) : envoyCommand(argv, env, io);
    }
    case "doctor": {
      const { doctorCommand, doctorHelp } = await import("./commands/doctor.ts");
      return help ? print(doctorHelp()) : doctorCommand(argv, env, io);
    }
    case "certs": {
      const { certsCommand, certsHelp } = await import("./commands/certs.ts");
      return help ? print(certsHelp()) : certsCommand(argv, env, io);
    }
    case "relay": {
      const { relayCommand, relayHelp } = await import("./commands/relay.ts");
      return help ? print(relayHelp()) : relayCommand(argv, env);
    }
    case "healthcheck": {
      const { healthcheckCommand, healthcheckHelp } = await import("./commands/healthcheck.ts");
      return help ? print(healthcheckHelp()) : healthcheckCommand(argv, env, io);
    }
    default:
      throw new UsageError([`${quote(command)}: unknown command; --help lists the known ones`]);
  }
}
