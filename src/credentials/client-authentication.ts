/** How an OAuth client names itself in a request (RFC 6749, section 2.3.1). Never log it. */
export function basicAuthorization(id: string, secret: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}` };
}
