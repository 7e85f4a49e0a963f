import type { Clock } from "../system/clock.ts";
import { MintError } from "../system/errors.ts";
import { requireOk, send, type Answer, type Peer } from "../google/exchange.ts";
import { accessTokenOf, createAccessTokenSource } from "../google/access-token.ts";
import { idTokenOf } from "../google/answers.ts";
import { TOKEN_CREATOR, type Identity } from "./identity.ts";
import { parseUrl } from "./urls.ts";

/** The metadata server of the machine or container, as a credential. */
export interface MetadataServer {
  readonly identity: Identity;
  /** Its address, as HOST or HOST:PORT. */
  readonly host: string;
  /**
   * Asks for the account's name and sets `identity.principal`. Rejects with a MintError, which is
   * `mint_rejected` if the machine has no account.
   */
  readonly learnPrincipal: (signal: AbortSignal) => Promise<void>;
}

/** The address on Compute Engine. */
const ADDRESS = "169.254.169.254";
/** A token does not wait longer than this for the name of its account. */
const NAME_TIMEOUT_MS = 1000;
/** The header that identifies both the client and the server. */
const FLAVOR = "metadata-flavor";
const NO_ACCOUNT =
  "attach a service account to the Cloud Run service (gcloud run services update SERVICE " +
  "--service-account=ACCOUNT), the VM (gcloud compute instances set-service-account) or, on GKE, " +
  "bind the Kubernetes account with roles/iam.workloadIdentityUser";

/**
 * Creates a credential from the metadata server of Compute Engine, Cloud Run or GKE, without sending
 * a request. Throws a UsageError if GCE_METADATA_HOST is not a host.
 */
export function createMetadataServer(env: NodeJS.ProcessEnv, clock: Clock): MetadataServer {
  const base = metadataUrl(env);
  const peer: Peer = {
    name: `the metadata server at ${base.host}`,
    absence: "only machines on Google Cloud have a metadata server; elsewhere give --credentials",
  };
  let principal = "";

  function ask(path: string, signal: AbortSignal): Promise<Answer> {
    const url = new URL(`computeMetadata/v1/instance/service-accounts/default/${path}`, base);
    return askServer(url, peer, signal);
  }

  async function learnPrincipal(signal: AbortSignal): Promise<void> {
    const email = (await ask("email", signal)).body.trim();
    if (/^[\x21-\x7e]+@[\x21-\x7e]+$/.test(email)) principal = email;
  }

  const identity: Identity = {
    type: "metadata_server",
    get principal() {
      return principal;
    },
    keyId: "",
    endpoint: base,
    mint: async (audience, signal) => {
      const obtainedAt = clock.now();
      const query = new URLSearchParams({ audience, format: "full" });
      const briefly = AbortSignal.any([signal, AbortSignal.timeout(NAME_TIMEOUT_MS)]);
      const [answer] = await Promise.all([
        ask(`identity?${query.toString()}`, signal),
        // It may have changed. The token is valid without it.
        learnPrincipal(briefly).catch(() => {}),
      ]);
      return idTokenOf(answer.body.trim(), audience, obtainedAt, answer, peer);
    },
    accessTokens: createAccessTokenSource(async (signal) => {
      const obtainedAt = clock.now();
      return accessTokenOf(await ask("token", signal), obtainedAt, peer);
    }, clock),
    grantee: () => ({ member: `serviceAccount:${principal || "ACCOUNT"}`, role: TOKEN_CREATOR }),
  };
  return { identity, host: base.host, learnPrincipal };
}

/**
 * Returns the environment with the metadata server added to `no_proxy`: no proxy leads to it, nor to
 * another cloud's at the same address.
 */
export function proxyEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const given = env["no_proxy"] || env["NO_PROXY"] || "";
  if (given.trim() === "*") return env;
  const direct = [given, ADDRESS, metadataUrl(env).host].filter((each) => each !== "");
  return { ...env, no_proxy: direct.join(",") };
}

function metadataUrl(env: NodeJS.ProcessEnv): URL {
  const host = env["GCE_METADATA_HOST"] || ADDRESS;
  return parseUrl(
    `http://${host.replace(/^http:\/\//, "")}`,
    "GCE_METADATA_HOST",
    "metadataServer",
  );
}

async function askServer(url: URL, peer: Peer, signal: AbortSignal): Promise<Answer> {
  const answer = await send(url, { headers: { [FLAVOR]: "Google" } }, signal, peer);
  const { status, headers } = answer;
  if (headers.get(FLAVOR) !== "Google") {
    throw new MintError(
      "mint_invalid_answer",
      `${peer.name} answered without Metadata-Flavor: Google, so it is something else`,
    );
  }
  // Its errors are plain text.
  if (status === 400 || status === 403 || status === 404) {
    const message = `${peer.name} has no account (${status}): ${NO_ACCOUNT}`;
    // A 400 may be about the audience only.
    throw new MintError("mint_rejected", message, { ofCredential: status !== 400 });
  }
  return requireOk(answer, peer);
}
