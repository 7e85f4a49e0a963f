import { TOKEN_CREATOR, WORKLOAD_IDENTITY_USER, type Grantee } from "./identity.ts";

const WORKLOAD =
  /^\/\/iam\.googleapis\.com\/(projects\/([^/]+)\/locations\/global\/workloadIdentityPools\/([^/]+))\/providers\/([^/]+)$/;
const WORKFORCE =
  /^\/\/iam\.googleapis\.com\/(locations\/global\/workforcePools\/([^/]+))\/providers\/([^/]+)$/;

/** Every identity of the pool that a credential's `audience` names, and the role that it needs. */
export function granteeOf(audience: string): Grantee {
  const workforce = WORKFORCE.exec(audience)?.[1];
  if (workforce !== undefined) return { member: everyoneIn(workforce), role: TOKEN_CREATOR };
  const workload = WORKLOAD.exec(audience)?.[1] ?? "POOL";
  return { member: everyoneIn(workload), role: WORKLOAD_IDENTITY_USER };
}

/** The command that prints what the pool's provider expects of a subject token. */
export function describeProvider(audience: string): string | undefined {
  const [, , project, pool, provider] = WORKLOAD.exec(audience) ?? [];
  if (provider !== undefined) {
    return `gcloud iam workload-identity-pools providers describe ${provider} --workload-identity-pool=${pool} --location=global --project=${project}`;
  }
  const [, , workforcePool, workforceProvider] = WORKFORCE.exec(audience) ?? [];
  if (workforceProvider === undefined) return undefined;
  return `gcloud iam workforce-pools providers describe ${workforceProvider} --workforce-pool=${workforcePool} --location=global`;
}

function everyoneIn(pool: string): string {
  return `principalSet://iam.googleapis.com/${pool}/*`;
}
