import { parseArgs } from "node:util";
import { demoGateway } from "./gateway.ts";
import { print } from "./print.ts";
import { demoTunnel } from "./tunnel.ts";

const HELP = `Usage: npm run demo [-- --gateway] [--push] [--keep]

Runs every part of the system on this machine, with stand-ins only for Google, and shows what gets
through and what does not.

  --gateway  send an HTTP request through the gateway, not a TCP connection through the tunnel
  --push     deliver the token by push, without a check for each request
  --keep     keep everything running until Ctrl-C, and print commands to try
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
  // Everything that was started is stopped, and every folder removed, when this process exits.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  try {
    await (flags.gateway ? demoGateway(flags) : demoTunnel(flags));
    return 0;
  } catch (error) {
    process.stderr.write(`the demo failed: ${error instanceof Error ? error.message : "?"}\n`);
    return 1;
  }
}
