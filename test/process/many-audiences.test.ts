import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startInProcess, type InProcessServer } from "../support/in-process-server.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "../support/keyed-endpoint.ts";

const A = "https://a.run.app";
const B = "https://b.run.app";
const ANY = "--allow-audience=https://*.run.app";
const MINT_TIMEOUT_MS = 5000;
const parts = new AsyncDisposableStack();
let keyed: KeyedEndpoint;

beforeAll(async () => {
  keyed = parts.use(await startKeyedEndpoint());
});
afterEach(() => keyed.endpoint.setFault(undefined));
afterAll(() => parts.disposeAsync());

const start = (...flags: readonly string[]) =>
  startInProcess(keyed.endpoint, [`--credentials=${keyed.keyFile}`, ANY, ...flags]);

/** Sends concurrent checks for different audiences; resolves with their statuses. */
function checkMany({ check }: InProcessServer, count: number, name: string) {
  const audiences = Array.from({ length: count }, (_, index) => `https://${name}-${index}.run.app`);
  return Promise.all(audiences.map(async (audience) => (await check(audience)).status));
}

/** Resolves once this many audiences have arrived. */
async function arrived({ url }: InProcessServer, count: number): Promise<void> {
  const metric = async () => (await fetch(`${url}/metrics`)).text();
  await expect.poll(metric).toMatch(new RegExp(`^idtoken_authz_cached_audiences ${count}$`, "m"));
}

describe("more concurrent audiences than --max-audiences", () => {
  it("all get tokens, with one mint each", async () => {
    await using server = await start("--max-audiences=1");
    keyed.endpoint.pause();
    const checks = checkMany(server, 20, "audience");
    await arrived(server, 20);
    keyed.endpoint.resume();
    expect(await checks).toEqual(Array<number>(20).fill(200));
    expect(server.exchanges()).toBe(20);
    await arrived(server, 1);
  });
});

describe("a flood of other audiences whose mints hang", () => {
  it("does not delay the tokens of configured audiences", async () => {
    keyed.endpoint.setFault({ kind: "hang" });
    await using server = await start(`--audience=${A}`, `--audience=${B}`);
    const failed = server.lines.line(({ audience, event }) => {
      return event === "mint_failed" && audience === B;
    });
    server.clock.advance(MINT_TIMEOUT_MS);
    await failed;
    keyed.endpoint.setFault({ kind: "hang" }, Infinity, ({ audience }) => {
      return audience !== A && audience !== B;
    });
    const flood = checkMany(server, 50, "other");
    await arrived(server, 52);
    server.clock.advance(1000);
    expect(await server.check(B)).toMatchObject({ status: 200 });
    expect(await server.check(A)).toMatchObject({ status: 200 });
    server.clock.advance(MINT_TIMEOUT_MS);
    expect(await flood).toEqual(Array<number>(50).fill(503));
  });
});
