import type { IdToken } from "../tokens/id-token.ts";
import { StartError } from "../system/errors.ts";
import { checkCertificateFiles } from "./certificate-files.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { describeMint, type Minted } from "./mint-check.ts";
import { callPublicService, callService, type ServiceOptions } from "./service-check.ts";

/** The token of a credential, for an audience. */
export interface TokenGiver {
  readonly token: (audience: string) => IdToken | Promise<IdToken>;
  readonly credential: { readonly principal: string };
}

/** Checks the client's certificates of a tunnel. Throws a StartError of one line, with what to do. */
export async function probeCertificates(folder: string, now: Date): Promise<Finding<unknown>> {
  const use = {
    server: "the tunnel server",
    remedy: "check --cert-dir; certs DIR makes the certificates of both ends",
  };
  return orStartError(() => checkCertificateFiles(folder, use, now));
}

/** Mints one token. Throws a StartError of one line, with what to do. */
export async function probeMint(
  { token, credential }: TokenGiver,
  audience: string,
): Promise<Finding<Minted>> {
  return orStartError(() => describeMint(() => token(audience), audience, credential.principal));
}

/**
 * Calls the service once, with the token if there is one. Throws a StartError of one line, with what
 * to do, if it is refused.
 */
export async function probeService(
  options: ServiceOptions,
  minted: Minted | undefined,
): Promise<Finding<number>> {
  return orStartError(() =>
    minted === undefined ? callPublicService(options) : callService(options, minted),
  );
}

async function orStartError<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    throw new StartError(describeFinding(error), { cause: error });
  }
}

/** What was found, and what to do about it, on one line. */
export function describeFinding({
  message,
  remedy,
}: {
  readonly message: string;
  readonly remedy?: string | undefined;
}): string {
  return remedy === undefined ? message : `${message} → ${remedy}`;
}
