import { expect, it } from "vitest";
import { MintError } from "../../../src/system/errors.ts";
import { AUDIENCE, buildTestApp } from "../../support/http-app.ts";

it.each(["/livez", "/readyz", "/healthz", "/readyz?verbose"])(
  "%s is 200, without a token, when every audience has its token",
  async (url) => {
    const { app, checks } = await buildTestApp();
    const response = await app.inject(url);
    expect(response.statusCode).toBe(200);
    expect(response.headers).not.toHaveProperty("authorization");
    expect(checks).toEqual([]);
  },
);

it.each(["/readyz", "/healthz"])("%s is 503 and names each missing token", async (url) => {
  const error = new MintError("mint_unavailable", "the token endpoint answered 503");
  const { app } = await buildTestApp({
    health: {
      readiness: () => [
        { audience: AUDIENCE, token: undefined, error },
        { audience: "b", token: undefined, error: undefined },
      ],
    },
  });
  const response = await app.inject(url);
  expect(response.statusCode).toBe(503);
  expect(response.json()).toEqual({
    status: "not ready",
    missing: [
      { audience: AUDIENCE, error: "mint_unavailable", reason: "the token endpoint answered 503" },
      { audience: "b", error: "mint_pending", reason: "the first token is being minted" },
    ],
  });
});

it("a draining server is alive but not ready", async () => {
  const { app } = await buildTestApp({ health: { isDraining: () => true } });
  expect((await app.inject("/readyz")).json()).toMatchObject({ status: "draining" });
  expect((await app.inject("/readyz")).statusCode).toBe(503);
  expect((await app.inject("/livez")).statusCode).toBe(200);
});

it("/metrics serves the metrics with their content type", async () => {
  const { app } = await buildTestApp();
  const response = await app.inject("/metrics");
  expect(response.headers["content-type"]).toContain("text/plain");
  expect(response.body).toBe("a 1\n");
});
