/** Request headers in which Cloud Run and IAP accept an ID token. */
export const TOKEN_HEADERS = [
  "authorization",
  "x-serverless-authorization",
  "proxy-authorization",
] as const;

/**
 * The headers of a client's request that could win over the token, and so are removed. Cloud Run
 * prefers X-Serverless-Authorization to Authorization and IAP prefers Proxy-Authorization; beside
 * either of them Authorization belongs to the application.
 */
export function headersToRemove(tokenHeader: string): readonly string[] {
  return TOKEN_HEADERS.filter((each) => each !== tokenHeader && each !== "authorization");
}
