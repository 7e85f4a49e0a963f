import type { FrontEnd } from "./front-end.ts";
import { buildGoProgram } from "./go-program.ts";

export interface GoProxy extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
}

/** Builds and starts a reverse proxy in Go with an ID token, in front of the same service. */
export async function startGoProxy(frontEnd: FrontEnd): Promise<GoProxy> {
  await using parts = new AsyncDisposableStack();
  const program = parts.use(await buildGoProgram("go-proxy"));
  const { keyFile, serviceUrl, connectTo, serviceCa } = frontEnd;
  const { pid, address } = parts.use(
    await program.serve([keyFile, serviceUrl, connectTo, serviceCa]),
  );
  const all = parts.move();
  return { pid, url: `http://${address}/`, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
