import { readFile } from "node:fs/promises";
import { parseCredential, type CredentialOptions } from "../../src/credentials/credential-file.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Credential } from "../../src/credentials/credential.ts";
import { MintError } from "../../src/system/errors.ts";
import { decodeJwt, type JWTPayload } from "jose";

/** An audience that must be encoded in a query. */
export const AUDIENCE = "https://service.example/?a=b&c=d";

/** Reads a credential file as the server does, with the given environment only. */
export async function readFrom(
  path: string,
  { env = {}, impersonate }: Partial<CredentialOptions> = {},
): Promise<Credential> {
  return parseCredential(await readFile(path), path, systemClock, { env, impersonate });
}

/** Mints one token and returns its claims. Rejects with a MintError. */
export async function mintOnce(
  { mint }: Credential,
  signal: AbortSignal = AbortSignal.timeout(10_000),
): Promise<JWTPayload> {
  const { header } = await mint(AUDIENCE, signal);
  return decodeJwt(header.replace(/^Bearer /, ""));
}

/** Returns the error of a mint that must fail. */
export async function mintFails(credential: Credential, signal?: AbortSignal): Promise<MintError> {
  try {
    await mintOnce(credential, signal);
  } catch (error) {
    if (error instanceof MintError) return error;
    throw error;
  }
  throw new Error("a token was minted");
}
