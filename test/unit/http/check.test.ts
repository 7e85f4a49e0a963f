import { describe, expect, it } from "vitest";
import type { Check, Decision } from "../../../src/check/decision.ts";
import { buildTestApp, TOKEN } from "../../support/http-app.ts";

describe("a check", () => {
  it.each(["/check", "/check/", "/check/a/b?c=d", "/", "/livez/", "/Metrics"])(
    "at %s is answered with the token header and an empty body",
    async (url) => {
      const { app, checks } = await buildTestApp();
      const response = await app.inject({ method: "GET", url });
      expect(response.statusCode).toBe(200);
      expect(response.headers["authorization"]).toBe(TOKEN.header);
      expect(response.headers["content-length"]).toBe("0");
      expect(response.body).toBe("");
      expect(checks).toEqual(["ok"]);
    },
  );

  it("is decided by its own headers", async () => {
    const seen: Check[] = [];
    const decide = (check: Check) => {
      seen.push(check);
      return { token: TOKEN };
    };
    const { app } = await buildTestApp({ check: { decide } });
    const headers = {
      "x-authz-secret": "s",
      "x-id-token-audience": "a",
      "x-authz-principal": "p",
      host: "h:80",
    };
    await app.inject({ url: "/check", headers });
    expect(seen).toEqual([{ secret: "s", named: "a", host: "h:80", client: [], principal: "p" }]);
  });

  it("has the token in the configured header and in no other", async () => {
    const { app } = await buildTestApp({ check: { tokenHeader: "x-serverless-authorization" } });
    const { headers } = await app.inject("/check");
    expect(headers["x-serverless-authorization"]).toBe(TOKEN.header);
    expect(headers).not.toHaveProperty("authorization");
  });

  it.each([
    [{ denied: "audience_not_allowed" }, 403, "audience_not_allowed"],
    [{ denied: "check_secret_wrong" }, 403, "check_secret_wrong"],
    [{ failed: "mint_unavailable" }, 503, "mint_unavailable"],
  ] satisfies [Decision, number, string][])(
    "that is decided as %j is answered with %i, the code and no token",
    async (decision, status, error) => {
      const { app } = await buildTestApp({ check: { decide: () => decision } });
      const response = await app.inject("/check");
      expect(response.statusCode).toBe(status);
      expect(response.json()).toEqual({ error });
      expect(response.headers).not.toHaveProperty("authorization");
    },
  );

  it("that had to wait is answered as one that had not", async () => {
    const { app } = await buildTestApp({ check: { decide: async () => ({ token: TOKEN }) } });
    const response = await app.inject("/check");
    expect(response.headers["authorization"]).toBe(TOKEN.header);
    expect(response.headers["connection"]).toBe("keep-alive");
  });

  it("that was still waiting when a drain began closes its connection", async () => {
    const decide = async () => ({ token: TOKEN });
    const { app } = await buildTestApp({ check: { decide, isDraining: () => true } });
    expect((await app.inject("/check")).headers["connection"]).toBe("close");
  });
});
