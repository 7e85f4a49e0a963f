import { shellQuote } from "./shell-quote.ts";

/** Service name and region as far as a Cloud Run host reveals them. */
export interface CloudRunHost {
  readonly name: string | undefined;
  readonly region: string | undefined;
}

/** The region codes in hosts of the form NAME-HASH-CODE.a.run.app, collected from real services. */
const REGIONS: Readonly<Record<string, string>> = {
  an: "asia-northeast1",
  as: "asia-southeast1",
  de: "asia-east1",
  df: "asia-east2",
  dt: "asia-northeast2",
  du: "asia-northeast3",
  el: "asia-south1",
  em: "asia-south2",
  et: "asia-southeast2",
  ew: "europe-west1",
  ey: "europe-west3",
  ez: "europe-west4",
  km: "australia-southeast2",
  lm: "europe-central2",
  lz: "europe-north1",
  nn: "northamerica-northeast1",
  nw: "europe-west2",
  oa: "europe-west6",
  rj: "southamerica-east1",
  ts: "australia-southeast1",
  uc: "us-central1",
  ue: "us-east1",
  uk: "us-east4",
  uw: "us-west1",
  wl: "us-west2",
};

const NAME = "[a-z](?:[a-z0-9-]*[a-z0-9])?";
/** The host of a tagged revision begins with the tag. */
const TAG = "(?:[a-z0-9-]+---)?";
const BY_HASH = new RegExp(`^${TAG}(${NAME})-[a-z0-9]+-([a-z]{2})\\.a\\.run\\.app$`);
const BY_PROJECT = new RegExp(`^${TAG}(${NAME})-\\d+\\.([a-z]+-[a-z]+\\d+)\\.run\\.app$`);

/** Parses name and region from a service's host, in either of Cloud Run's two forms. */
export function parseCloudRunHost(host: string): CloudRunHost {
  const [, byProject, region] = BY_PROJECT.exec(host) ?? [];
  if (byProject !== undefined) return { name: byProject, region };
  const [, byHash, code = ""] = BY_HASH.exec(host) ?? [];
  return { name: byHash, region: REGIONS[code] };
}

/** A gcloud command for the service at a host, with NAME and REGION for what is unknown. */
export function gcloudForService(host: string, action: string, rest: string): string {
  const { name = "NAME", region = "REGION" } = parseCloudRunHost(host);
  return `gcloud run services ${action} ${name} --region ${region} ${rest}`;
}

/** Where to look up the placeholders in `gcloudForService`; empty if it has none. */
export function explainPlaceholders(host: string): string {
  const { name, region } = parseCloudRunHost(host);
  const missing = [name === undefined ? "NAME" : "", region === undefined ? "REGION" : ""];
  const named = missing.filter(Boolean).join(" and ");
  return named === "" ? "" : ` (${named}: see gcloud run services list)`;
}

/** The command that grants an account the right to call the service at a host. */
export function grantInvoker(host: string, email: string): string {
  const kind = email.endsWith(".gserviceaccount.com") ? "serviceAccount" : "user";
  const member = `--member=${shellQuote(`${kind}:${email}`)}`;
  return gcloudForService(host, "add-iam-policy-binding", `${member} --role=roles/run.invoker`);
}
