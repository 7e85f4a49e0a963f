import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startInProcess } from "../support/in-process-server.ts";
import { startKeyedEndpoint } from "../support/keyed-endpoint.ts";
import type { TokenEndpoint } from "../support/token-endpoint.ts";

const HOUR_MS = 3600_000;
const AUDIENCE = "https://a.run.app";
const parts = new AsyncDisposableStack();
let endpoint: TokenEndpoint;
let flags: readonly string[] = [];

beforeAll(async () => {
  const keyed = parts.use(await startKeyedEndpoint());
  ({ endpoint } = keyed);
  flags = [`--credentials=${keyed.keyFile}`, `--audience=${AUDIENCE}`];
});
afterAll(() => parts.disposeAsync());

describe("a token whose issuer's Date is 12 hours behind", () => {
  it("is not served once its own hour of life is over", async () => {
    endpoint.setDateOffset(-12 * HOUR_MS);
    await using server = await startInProcess(endpoint, flags);
    expect(await server.check()).toMatchObject({ status: 200 });
    endpoint.setFault({ kind: "status", status: 503 });
    server.clock.advance(HOUR_MS);
    expect(await server.check()).toMatchObject({ status: 503, token: null });
  });
});
