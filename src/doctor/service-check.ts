import { X509Certificate } from "node:crypto";
import type { TcpAddress } from "../system/address.ts";
import { StartError } from "../system/errors.ts";
import { readOnce } from "../system/small-file.ts";
import { CheckFailure, type Finding } from "./checklist.ts";
import { explainPlaceholders, gcloudForService, grantInvoker } from "./cloud-run-host.ts";
import type { Minted } from "./mint-check.ts";
import { ask, openSocket, startTls } from "./network.ts";
import { shellQuote } from "./shell-quote.ts";

export interface ServiceOptions {
  readonly service: TcpAddress;
  /** Connect here instead. */
  readonly connectTo: TcpAddress | undefined;
  /** PEM file with the CA of its certificate. */
  readonly serviceCa: string | undefined;
  readonly audience: string;
  readonly timeoutMs: number;
}

/** The statuses of the service's answers. */
export interface ServiceAnswers {
  readonly withToken: number;
  /** Requested only if the answer with the token is not a refusal. */
  readonly without?: number;
}

/** Calls the service with the token, directly, as Envoy does; then without, for comparison. */
export async function checkService(
  options: ServiceOptions,
  { token, email }: Minted,
): Promise<Finding<number>> {
  const ca = await readCa(options.serviceCa);
  const host = options.service.host;
  const about = { host, audience: options.audience, email };
  const withToken = await call(options, ca, { authorization: `Bearer ${token}` });
  if (isRefusal(withToken)) return judgeService({ withToken }, about);
  return judgeService({ withToken, without: await call(options, ca, {}) }, about);
}

/**
 * Calls the service once, with the token, and says what came of it. A refusal of the token is a
 * CheckFailure; a service that fails itself, or has no instance free, gives a remedy.
 */
export async function callService(
  options: ServiceOptions,
  { token, email }: Minted,
): Promise<Finding<number>> {
  const { host } = options.service;
  const ca = await readCa(options.serviceCa);
  const withToken = await call(options, ca, { authorization: `Bearer ${token}` });
  try {
    return judgeService({ withToken }, { host, audience: options.audience, email });
  } catch (error) {
    if (!(error instanceof CheckFailure) || withToken === 401 || withToken === 403) throw error;
    const { message, remedy, facts } = error;
    return { message, remedy, facts, value: withToken };
  }
}

/**
 * Calls a service that allows unauthenticated callers once, without a token, and says what came of
 * it. A refusal is a CheckFailure.
 */
export async function callPublicService(
  options: Omit<ServiceOptions, "audience">,
): Promise<Finding<number>> {
  const { host } = options.service;
  const status = await call(options, await readCa(options.serviceCa), {});
  if (status === 401 || status === 403) {
    throw new CheckFailure(
      `https://${host} answered ${status}: it does not allow unauthenticated callers`,
      "use a config with tokens, such as tunnel-client-push",
      { status },
    );
  }
  return { message: `https://${host} is reached: ${status} without a token`, value: status };
}

async function readCa(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    const { bytes } = await readOnce(path, "the CA");
    if (!hasCertificate(bytes)) throw new StartError(`${path} has no certificate (PEM)`);
    return bytes.toString("utf8");
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw new CheckFailure(error.message, "check --service-ca");
  }
}

function hasCertificate(pem: Buffer): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

async function call(
  { service, connectTo, timeoutMs }: Omit<ServiceOptions, "audience">,
  ca: string | undefined,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const { host } = service;
  const socket = await openSocket(connectTo ?? service, timeoutMs);
  const trustRemedy = "give the CA that issued it: --service-ca FILE";
  const secured = await startTls(socket, { host, ca, trustRemedy, timeoutMs });
  const { statusCode = 0 } = await ask(secured, {
    method: "GET",
    target: "/",
    headers: { host, ...headers },
    whom: host,
    timeoutMs,
  });
  return statusCode;
}

function isRefusal(status: number): boolean {
  return status === 401 || status === 403 || status === 429 || status >= 500;
}

/** Judges the service's answers. Throws a CheckFailure with a remedy. */
export function judgeService(
  { withToken: status, without }: ServiceAnswers,
  about: { readonly host: string; readonly audience: string; readonly email: string },
): Finding<number> {
  const { host, email } = about;
  const url = `https://${host}`;
  const facts = { url, status, ...(without !== undefined && { statusWithoutToken: without }) };
  if (status === 401) {
    throw new CheckFailure(
      `${url} answered 401: it does not accept the token for ${about.audience}`,
      audienceRemedy(host, about.audience),
      facts,
    );
  }
  if (status === 403) {
    throw new CheckFailure(
      `${url} answered 403: it accepts the token, but ${email} is not allowed to call it`,
      `grant roles/run.invoker and wait a minute or two${explainPlaceholders(host)}: ${grantInvoker(host, email)}`,
      facts,
    );
  }
  if (isRefusal(status)) {
    throw new CheckFailure(
      `${url} answered ${status}: it accepts the token, but the service does not work`,
      `read its log${explainPlaceholders(host)}: ${gcloudForService(host, "logs read", "--limit 20")}`,
      facts,
    );
  }
  return { ...judgeReached(url, status, without), facts, value: status };
}

function judgeReached(url: string, status: number, without: number | undefined) {
  if (without === undefined) return { message: `${url} is reached: ${status} with the token` };
  const isRefused = without === 401 || without === 403;
  const message = `${url} is reachable: ${status} with the token, ${without} without`;
  if (isRefused) return { message };
  if (status === 404 && without === 404) {
    return {
      message: `${url} answered 404 with and without the token`,
      remedy: "the service is public, or does not exist, or its ingress is internal",
    };
  }
  return { message: `${message} (the service is public)` };
}

function audienceRemedy(host: string, audience: string): string {
  const url = `https://${host}`;
  if (audience === url) {
    return (
      `check this machine's clock, which doctor shows; if ${host} is not the service's own run.app host, give that one as --audience` +
      `${explainPlaceholders(host)}: ${gcloudForService(host, "describe", "--format='value(status.url)'")}`
    );
  }
  return (
    `use --audience ${url}, or have the service accept this one as well${explainPlaceholders(host)}: ` +
    gcloudForService(host, "update", `--add-custom-audiences=${shellQuote(audience)}`)
  );
}
