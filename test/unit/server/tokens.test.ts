import { afterAll, beforeAll, expect, it } from "vitest";
import { buildTokens, VERIFICATION_AUDIENCE } from "../../../src/server/tokens.ts";
import { parseConfig } from "../../../src/settings/serve.ts";
import { startKeyedEndpoint, type KeyedEndpoint } from "../../support/keyed-endpoint.ts";
import { readSeries } from "../../support/series.ts";
import { createContext } from "../../support/server-context.ts";

const AUDIENCE = "https://a.run.app";

const parts = new AsyncDisposableStack();
let keyed: KeyedEndpoint;
beforeAll(async () => {
  keyed = parts.use(await startKeyedEndpoint());
});
afterAll(() => parts.disposeAsync());

async function build(starting: AsyncDisposableStack) {
  const config = parseConfig([`--credentials=${keyed.keyFile}`, `--audience=${AUDIENCE}`], {});
  const context = createContext();
  const built = await buildTokens(config, context, undefined, starting);
  return { ...built, ...context };
}

it("A mint is cached, logged and counted.", async () => {
  await using starting = new AsyncDisposableStack();
  const { tokens, metrics, lines } = await build(starting);
  const token = await tokens.token({ audience: AUDIENCE });
  expect(token.header).toMatch(/^Bearer eyJ/);
  expect(tokens.token({ audience: AUDIENCE })).toBe(token);
  expect(lines.map(({ event }) => event)).toEqual(["minted"]);
  const text = await metrics.render();
  expect(readSeries(text, 'mints_total{outcome="ok",reason="cold"}')).toBe(1);
  expect(readSeries(text, "cached_audiences")).toBe(1);
});

it("Only configured audiences count for readiness.", async () => {
  await using starting = new AsyncDisposableStack();
  const { own, tokens } = await build(starting);
  await tokens.token({ audience: "https://other.run.app" });
  expect(own.readiness()).toEqual([{ audience: AUDIENCE, token: undefined }]);
});

it("What was built leaves no timer armed.", async () => {
  const starting = new AsyncDisposableStack();
  const { own, clock, tokens } = await build(starting);
  own.start();
  await tokens.token({ audience: AUDIENCE });
  expect(clock.armed()).not.toEqual([]);
  await starting.disposeAsync();
  expect(clock.armed()).toEqual([]);
});

it("The audience for verifying a credential is of no service.", () => {
  expect(new URL(VERIFICATION_AUDIENCE).hostname).toMatch(/\.invalid$/);
});
