/** Patterns of tokens, assertions and keys. */
const SECRETS: readonly (readonly [string, RegExp])[] = [
  ["a JSON Web Token", /eyJ[\w-]{16,}/],
  ["a key in PEM", /PRIVATE KEY/],
  ["a key's DER", /MII[A-Za-z0-9+/]{24,}/],
  ["an assertion in a form", /assertion=/],
  ["an access token", /ya29\.[\w-]{8,}/],
];

/**
 * Throws an Error that names the kind of secret, not the secret, when a public text contains a
 * token, an assertion or a key. The tests check every log line, error and metric with it.
 */
export function refuseSecrets(text: string, where: string): void {
  for (const [kind, pattern] of SECRETS) {
    if (pattern.test(text)) throw new Error(`${where} contains ${kind}`);
  }
}
