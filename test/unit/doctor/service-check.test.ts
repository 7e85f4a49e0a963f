import { describe, expect, it } from "vitest";
import { CheckFailure } from "../../../src/doctor/checklist.ts";
import { judgeService, type ServiceAnswers } from "../../../src/doctor/service-check.ts";

const host = "tunnel-1234567890.europe-west1.run.app";
const email = "caller@project.iam.gserviceaccount.com";

function judge(answers: ServiceAnswers, changes: { host?: string; audience?: string } = {}) {
  const about = { host, audience: `https://${host}`, email, ...changes };
  try {
    const { message, remedy } = judgeService(answers, about);
    return { state: remedy === undefined ? "passed" : "warning", message, remedy };
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return { state: "failed", message: error.message, remedy: error.remedy };
  }
}

describe("judgeService", () => {
  it.each([200, 204, 302, 404, 415])(
    "calls a service that answers %i, and refuses without a token, reachable",
    (status) => {
      expect(judge({ withToken: status, without: 403 })).toEqual({
        state: "passed",
        message: `https://${host} is reachable: ${status} with the token, 403 without`,
        remedy: undefined,
      });
    },
  );

  it("says so when the service is public", () => {
    expect(judge({ withToken: 200, without: 200 })).toMatchObject({
      state: "passed",
      message: expect.stringMatching(/200 without \(the service is public\)$/),
    });
  });

  it("does not call a service reachable that answers 404 with and without a token", () => {
    expect(judge({ withToken: 404, without: 404 })).toEqual({
      state: "warning",
      message: `https://${host} answered 404 with and without the token`,
      remedy: "the service is public, or does not exist, or its ingress is internal",
    });
  });

  it("distinguishes a missing role from a token that is not accepted", () => {
    expect(judge({ withToken: 403 })).toEqual({
      state: "failed",
      message: `https://${host} answered 403: it accepts the token, but ${email} is not allowed to call it`,
      remedy:
        "grant roles/run.invoker and wait a minute or two: " +
        "gcloud run services add-iam-policy-binding tunnel --region europe-west1 " +
        `--member=serviceAccount:${email} --role=roles/run.invoker`,
    });
    expect(judge({ withToken: 401 }, { audience: "https://tunnel.example" })).toEqual({
      state: "failed",
      message: `https://${host} answered 401: it does not accept the token for https://tunnel.example`,
      remedy:
        `use --audience https://${host}, or have the service accept this one as well: ` +
        "gcloud run services update tunnel --region europe-west1 " +
        "--add-custom-audiences=https://tunnel.example",
    });
  });

  it("says how to find the right audience when the URL is not it", () => {
    const answer = judge({ withToken: 401 }, { host: "a.example", audience: "https://a.example" });
    expect(answer.remedy).toBe(
      "check this machine's clock, which doctor shows; if a.example is not the service's own run.app " +
        "host, give that one as " +
        "--audience (NAME and REGION: see gcloud run services list): " +
        "gcloud run services describe NAME --region REGION --format='value(status.url)'",
    );
  });

  it.each([429, 500, 503])("says of a %i that the service does not work", (status) => {
    expect(judge({ withToken: status })).toEqual({
      state: "failed",
      message: `https://${host} answered ${status}: it accepts the token, but the service does not work`,
      remedy: "read its log: gcloud run services logs read tunnel --region europe-west1 --limit 20",
    });
  });
});
