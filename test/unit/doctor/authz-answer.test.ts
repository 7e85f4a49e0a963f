import { describe, expect, it } from "vitest";
import { judgeAnswer } from "../../../src/doctor/authz-answer.ts";

const sent = { whom: "authz:8443", audience: "a", names: ["envoy-1"], hasSecret: true };
const answer = (status: number, error: string) => ({
  status,
  headers: {},
  body: JSON.stringify({ error }),
});

describe("judgeAnswer", () => {
  it.each([
    [403, "audience_missing", "names no audience", "give --audience"],
    [403, "audience_not_allowed", "tokens for a", "--allow-audience"],
    [403, "caller_not_allowed", "no tokens to envoy-1", "--allow-client"],
    [403, "check_secret_wrong", "is not the auth server's", "--check-secret-file"],
    [503, "mint_rejected", "cannot mint", "run doctor where the auth server runs"],
    [403, "mint_rejected", "not an answer of an auth server", "something else"],
    [503, "audience_missing", "not an answer of an auth server", "something else"],
    [404, "not_found", "not an answer of an auth server", "something else"],
  ])("says what %i %s means and what to do", async (status, code, meaning, remedy) => {
    await expect(judgeAnswer(answer(status, code), sent)).rejects.toMatchObject({
      message: expect.stringMatching(
        new RegExp(`^authz:8443 answered ${status} ${code}: .*${meaning}`),
      ),
      remedy: expect.stringContaining(remedy),
    });
  });

  it("shows nothing of an answer that is not the auth server's, nor of what is no token", async () => {
    const page = { status: 403, headers: {}, body: "<html>" };
    await expect(judgeAnswer(page, sent)).rejects.toThrow(/^authz:8443 answered 403: this is not/);
    const none = { status: 200, headers: {}, body: "" };
    await expect(judgeAnswer(none, sent)).rejects.toThrow("answered 200 without a token");
    const other = { ...none, headers: { authorization: "Bearer hidden" } };
    await expect(judgeAnswer(other, sent)).rejects.toThrow(
      /^authz:8443 answered 200, but its id_token is not three base64url parts$/,
    );
  });
});
