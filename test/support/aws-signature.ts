import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** AWS security credentials. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

interface SignedRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
}

const HOST = /^sts\.([a-z0-9-]+)\.amazonaws\.com$/;

/**
 * Verifies an AWS subject token: a `GetCallerIdentity` request signed (Signature Version 4) with
 * these credentials for this provider. Returns its region, or undefined for a bad token.
 */
export function verifyAwsToken(
  subjectToken: string,
  provider: string,
  { accessKeyId, secretAccessKey, sessionToken }: AwsCredentials,
): string | undefined {
  const signed = JSON.parse(decodeURIComponent(subjectToken)) as SignedRequest;
  const headers = new Map(signed.headers.map(({ key, value }) => [key.toLowerCase(), value]));
  const url = new URL(signed.url);
  const [, region] = HOST.exec(url.hostname) ?? [];
  const [, scope, names, signature = ""] =
    /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(
      headers.get("authorization") ?? "",
    ) ?? [];
  const date = headers.get("x-amz-date") ?? "";
  const day = date.slice(0, 8);
  if (region === undefined || names === undefined) return undefined;
  if (scope !== `${accessKeyId}/${day}/${region}/sts/aws4_request`) return undefined;
  if (headers.get("x-goog-cloud-target-resource") !== provider) return undefined;
  if (headers.get("x-amz-security-token") !== sessionToken) return undefined;
  if (url.searchParams.get("Action") !== "GetCallerIdentity") return undefined;

  const signedHeaders = names.split(";").map((name) => `${name}:${headers.get(name)}\n`);
  const canonical = [
    signed.method,
    url.pathname,
    url.search.slice(1),
    signedHeaders.join(""),
    names,
  ];
  const digest = sha256([...canonical, sha256("")].join("\n"));
  const text = ["AWS4-HMAC-SHA256", date, `${day}/${region}/sts/aws4_request`, digest].join("\n");
  const key = [day, region, "sts", "aws4_request"].reduce<string | Buffer>(
    (parent, part) => createHmac("sha256", parent).update(part).digest(),
    `AWS4${secretAccessKey}`,
  );
  const expected = createHmac("sha256", key).update(text).digest();
  return timingSafeEqual(expected, Buffer.from(signature, "hex")) ? region : undefined;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
