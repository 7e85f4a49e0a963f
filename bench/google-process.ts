import { createCredentials, KEY_ACCOUNT } from "../test/support/credential-files.ts";
import { startChild } from "./child.ts";

/** How the token endpoint answers: after some time, as Google does, or not at all. */
type Answers = "delayed" | "never";

/** Stand-ins for Google in a process of their own, as Google takes no time of this machine. */
export interface GoogleProcess extends AsyncDisposable {
  /** The path of a service account's key file. */
  readonly keyFile: string;
  /** The environment variables that direct the server to the stand-ins. */
  readonly env: Readonly<Record<string, string>>;
  readonly setAnswers: (answers: Answers) => Promise<void>;
}

/** The token endpoint answers as often as this; a mint so takes 10 ms on average. */
const ANSWER_EVERY_MS = 20;

/** Starts the stand-ins; the service account may impersonate these accounts. */
export async function startGoogleProcess(accounts: readonly string[]): Promise<GoogleProcess> {
  const child = startChild(import.meta.filename, accounts);
  const { keyFile, env } = (await child.next()) as Pick<GoogleProcess, "keyFile" | "env">;
  return {
    keyFile,
    env,
    setAnswers: async (answers) => {
      child.send({ answers });
      await child.next();
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

async function serve(accounts: readonly string[]): Promise<void> {
  const { apis, endpoint, env, files, write } = await createCredentials();
  for (const account of accounts) apis.policy.grant(account, KEY_ACCOUNT);
  endpoint.pause();
  setInterval(() => {
    endpoint.resume();
    endpoint.pause();
  }, ANSWER_EVERY_MS);
  process.on("message", ({ answers }: { answers: Answers }) => {
    endpoint.setFault(answers === "never" ? { kind: "hang" } : undefined);
    process.send?.({});
  });
  process.send?.({ keyFile: await write(files.serviceAccount), env });
}

if (import.meta.main) await serve(process.argv.slice(2));
