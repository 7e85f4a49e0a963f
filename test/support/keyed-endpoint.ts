import { join } from "node:path";
import { createServiceAccount, type ServiceAccount } from "./service-account.ts";
import { makeTemporaryFolder } from "./temporary-folder.ts";
import { startTokenEndpoint, type TokenEndpoint } from "./token-endpoint.ts";

/** A token endpoint with one registered account, and the account's key file. */
export interface KeyedEndpoint extends AsyncDisposable {
  readonly endpoint: TokenEndpoint;
  readonly account: ServiceAccount;
  readonly keyFile: string;
  /** The temporary folder of the key file; removed on disposal. */
  readonly folder: string;
}

/** Starts the endpoint and writes the key file. */
export async function startKeyedEndpoint(
  options: { readonly tokenLifeSeconds?: number } = {},
): Promise<KeyedEndpoint> {
  await using parts = new AsyncDisposableStack();
  const { path: folder } = parts.use(await makeTemporaryFolder());
  const endpoint = parts.use(await startTokenEndpoint(options));
  const account = createServiceAccount({ tokenUri: endpoint.url });
  endpoint.register(account);
  const keyFile = join(folder, "key.json");
  await account.writeTo(keyFile);
  const all = parts.move();
  const dispose = () => all.disposeAsync();
  return { endpoint, account, keyFile, folder, [Symbol.asyncDispose]: dispose };
}
