/** What tokens, assertions and keys look like, wherever they come from. */
const SECRETS: readonly (readonly [string, RegExp])[] = [
  ["a JSON Web Token", /eyJ[\w-]{16,}/],
  ["a key in PEM", /PRIVATE KEY/],
  ["a key's DER", /MII[A-Za-z0-9+/]{24,}/],
  ["an assertion in a form", /assertion=/],
  ["an access token", /ya29\.[\w-]{8,}/],
];

/**
 * Throws an Error when a text that anybody may read holds a token, an assertion or a key; it names
 * the kind and not the secret. Every log line, error and metric of the tests goes through here.
 */
export function refuseSecrets(text: string, where: string): void {
  for (const [kind, pattern] of SECRETS) {
    if (pattern.test(text)) throw new Error(`${where} holds ${kind}`);
  }
}
