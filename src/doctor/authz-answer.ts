import { systemClock } from "../system/clock.ts";
import { TOKEN_HEADERS } from "../access/token-header.ts";
import type { RefusalCode } from "../system/errors.ts";
import { decodeClaims, InvalidIdToken, parseIdToken, type IdToken } from "../tokens/id-token.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { describeMint, type Minted } from "./mint-check.ts";
import type { Answer } from "./network.ts";

/** A check that was sent. */
export interface SentCheck {
  /** The auth server as `--authz` names it. */
  readonly whom: string;
  /** The audience that it named, if any. */
  readonly audience: string | undefined;
  /** The names in the client's certificate; empty without TLS. */
  readonly names: readonly string[];
  /** Whether it carried a check secret. */
  readonly hasSecret: boolean;
}

/** Says what an auth server's answer to a check means. Throws a CheckFailure with a remedy. */
export async function judgeAnswer(answer: Answer, sent: SentCheck): Promise<Finding<Minted>> {
  const { status, body } = answer;
  if (status === 200) {
    const token = readToken(answer, sent);
    return describeMint(() => token, token.audience, "an unnamed account");
  }
  const code = codeIn(body);
  const [meaning, remedy] =
    (status === 403 ? denial(code, sent) : undefined) ??
    (status === 503 ? failure(code) : undefined) ??
    OF_ANOTHER;
  const shown = code === undefined ? `${status}` : `${status} ${code}`;
  throw new CheckFailure(`${sent.whom} answered ${shown}: ${meaning}`, remedy, { status });
}

/** What an answer means, and what to do. */
type Meaning = readonly [meaning: string, remedy: string];

const OF_ANOTHER: Meaning = [
  "this is not an answer of an auth server",
  "something else listens there, or stands in between: check the address and proxies",
];

function readToken({ headers }: Answer, { whom, audience }: SentCheck): IdToken {
  const [header = ""] = TOKEN_HEADERS.flatMap((name) => headers[name] ?? []);
  const [meaning, remedy] = OF_ANOTHER;
  if (header === "") {
    throw new CheckFailure(`${whom} answered 200 without a token: ${meaning}`, remedy);
  }
  const token = header.replace(/^Bearer /, "");
  const now = systemClock.now();
  try {
    const named = audience ?? String(decodeClaims(token)["aud"]);
    return parseIdToken(token, named, now, Date.parse(headers.date ?? "") || now.wallMs);
  } catch (error) {
    if (!(error instanceof InvalidIdToken)) throw error;
    throw new CheckFailure(`${whom} answered 200, but ${error.message}`, remedy);
  }
}

/** The code in the body of an auth server's answer. */
function codeIn(body: string): string | undefined {
  return /^\{"error":"([a-z_]{1,40})"\}$/.exec(body)?.[1];
}

const DENIALS: Readonly<Record<RefusalCode, (sent: SentCheck) => Meaning>> = {
  audience_missing: () => [
    "the check names no audience, and the auth server has no default",
    "give --audience or --service-url, or the auth server an --audience",
  ],
  audience_not_allowed: ({ audience }) => [
    `this caller may not have tokens for ${audience ?? "the host that it asked"}`,
    "name the audience in the auth server's --audience or --allow-audience or, if it has one, in the caller's entry of its --policy",
  ],
  caller_not_allowed: ({ names }) => [
    `it gives no tokens to ${names.join(", ") || "callers without a certificate"}`,
    "name this caller in the auth server's --allow-client and, if it has one, in its --policy",
  ],
  check_secret_wrong: ({ hasSecret }) =>
    hasSecret
      ? [
          "the check secret is not the auth server's",
          "give the same file, or a copy of it, to both as --check-secret-file",
        ]
      : ["it wants a check secret", "give the file that has it: --check-secret-file"],
};

function denial(code: string | undefined, sent: SentCheck): Meaning | undefined {
  return Object.entries(DENIALS).find(([each]) => each === code)?.[1](sent);
}

function failure(code: string | undefined): Meaning | undefined {
  if (code?.startsWith("mint_") !== true) return undefined;
  return [
    "it can be reached, but cannot mint an ID token",
    "run doctor where the auth server runs, with its credential and this audience; its log says why in mint_failed",
  ];
}
