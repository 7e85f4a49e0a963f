import { describe, expect, it } from "vitest";
import {
  explainPlaceholders,
  gcloudForService,
  grantInvoker,
  parseCloudRunHost,
} from "../../../src/doctor/cloud-run-host.ts";

const EMAIL = "caller@project.iam.gserviceaccount.com";

describe("parseCloudRunHost", () => {
  it.each([
    ["tunnel-abc123-ew.a.run.app", "tunnel", "europe-west1"],
    ["go-proxy-2-5w2zlcscyq-uc.a.run.app", "go-proxy-2", "us-central1"],
    ["green---tunnel-5w2zlcscyq-an.a.run.app", "tunnel", "asia-northeast1"],
    ["tunnel-5w2zlcscyq-zz.a.run.app", "tunnel", undefined],
    ["tunnel-1234567890.europe-west12.run.app", "tunnel", "europe-west12"],
    ["go-proxy-1-1234567890.us-east5.run.app", "go-proxy-1", "us-east5"],
    ["green---tunnel-1234567890.us-east5.run.app", "tunnel", "us-east5"],
    ["tunnel.example.com", undefined, undefined],
    ["a.run.app", undefined, undefined],
    ["tunnel-abc123-ew.a.run.app.example.com", undefined, undefined],
  ])("reads %s", (host, name, region) => {
    expect(parseCloudRunHost(host)).toEqual({ name, region });
  });
});

describe("commands", () => {
  it("name the service and its region", () => {
    expect(grantInvoker("tunnel-1234567890.us-east5.run.app", EMAIL)).toBe(
      "gcloud run services add-iam-policy-binding tunnel --region us-east5 " +
        `--member=serviceAccount:${EMAIL} --role=roles/run.invoker`,
    );
    expect(explainPlaceholders("tunnel-1234567890.us-east5.run.app")).toBe("");
  });

  it.each([
    ["tunnel-abc123-zz.a.run.app", "logs read tunnel --region REGION --limit 5", "REGION"],
    ["tunnel.example.com", "logs read NAME --region REGION --limit 5", "NAME and REGION"],
  ])("say which placeholders they contain for %s", (host, command, open) => {
    expect(gcloudForService(host, "logs read", "--limit 5")).toBe(`gcloud run services ${command}`);
    expect(explainPlaceholders(host)).toBe(` (${open}: see gcloud run services list)`);
  });

  it("are safe to paste, and distinguish a person from a service account", () => {
    expect(grantInvoker("x.example.com", "o'neil@example.com")).toContain(
      String.raw`--member='user:o'\''neil@example.com' `,
    );
  });
});
