// Mints ID tokens with google-auth-library alone, in a separate process.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { JWT } from "google-auth-library";

/** The auth server's own limit of concurrent mints. */
const CONCURRENCY = 8;

const run = promisify(execFile);

/** What minting takes in all. */
export interface Minting {
  readonly seconds: number;
  readonly cpuUs: number;
}

/** Lets the library alone mint tokens for `count` audiences. */
export async function mintBarely(keyFile: string, count: number): Promise<Minting> {
  const { stdout } = await run(process.execPath, [import.meta.filename, keyFile, String(count)]);
  return JSON.parse(stdout) as Minting;
}

async function mintAll(keyFile: string, count: number): Promise<Minting> {
  const key = JSON.parse(await readFile(keyFile, "utf8")) as Readonly<Record<string, string>>;
  const client = new JWT({
    ...(key["client_email"] && { email: key["client_email"] }),
    ...(key["private_key"] && { key: key["private_key"] }),
    transporterOptions: {
      // The library ignores the key file's token_uri.
      fetchImplementation: (_url, init) => fetch(key["token_uri"] ?? "", init),
    },
  });
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  let next = 0;
  const work = async () => {
    while (next < count) await client.fetchIdToken(`https://bare-${next++}.run.app`);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { seconds, cpuUs: user + system };
}

if (import.meta.main) {
  const [keyFile = "", count] = process.argv.slice(2);
  process.stdout.write(JSON.stringify(await mintAll(keyFile, Number(count))));
}
