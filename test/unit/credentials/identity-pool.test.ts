import { describe, expect, it } from "vitest";
import { describeProvider, granteeOf } from "../../../src/credentials/identity-pool.ts";

const WORKLOAD =
  "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/github";
const WORKFORCE = "//iam.googleapis.com/locations/global/workforcePools/staff/providers/login";

describe("granteeOf", () => {
  it("names every identity of the pool, with the role that its kind needs", () => {
    expect(granteeOf(WORKLOAD)).toEqual({
      member:
        "principalSet://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/*",
      role: "roles/iam.workloadIdentityUser",
    });
    expect(granteeOf(WORKFORCE)).toEqual({
      member: "principalSet://iam.googleapis.com/locations/global/workforcePools/staff/*",
      role: "roles/iam.serviceAccountTokenCreator",
    });
  });

  it("leaves the pool to fill in where the audience does not name one", () => {
    expect(granteeOf("something else").member).toBe("principalSet://iam.googleapis.com/POOL/*");
  });
});

describe("describeProvider", () => {
  it("is gcloud's command for the kind of pool", () => {
    expect(describeProvider(WORKLOAD)).toBe(
      "gcloud iam workload-identity-pools providers describe github --workload-identity-pool=pool --location=global --project=123",
    );
    expect(describeProvider(WORKFORCE)).toBe(
      "gcloud iam workforce-pools providers describe login --workforce-pool=staff --location=global",
    );
    expect(describeProvider("something else")).toBeUndefined();
  });
});
