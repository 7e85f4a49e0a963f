import { parseArgs } from "node:util";
import { demoGateway } from "./gateway.ts";
import { print } from "./print.ts";
import { demoTunnel } from "./tunnel.ts";

const HELP = `Usage: npm run demo [-- --gateway] [--push] [--keep]

Starts the whole path of a connection on this machine, with stand-ins for Google alone, and shows
what gets through and what does not.

  --gateway  an HTTP request through the gateway, instead of a TCP connection through the tunnel
  --push     the token by push, instead of a check for each request
  --keep     leave it running until Ctrl-C, and print what to try
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  const flag = { type: "boolean", default: false } as const;
  const options = { gateway: flag, push: flag, keep: flag, help: flag };
  let flags;
  try {
    flags = parseArgs({ args, options }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : "?"}\n\n${HELP}`);
    return 2;
  }
  if (flags.help) {
    print(HELP);
    return 0;
  }
  // What was started is ended, and every folder removed, as this process exits.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  try {
    await (flags.gateway ? demoGateway(flags) : demoTunnel(flags));
    return 0;
  } catch (error) {
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : "?"}\n`);
    return 1;
  }
}
