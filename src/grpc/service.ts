import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { checkMethod, type AuthorizationOptions } from "./authorization.ts";
import { answerCall, type CallOptions } from "./call.ts";
import { Authorization } from "./gen/envoy/service/auth/v3/external_auth_pb.ts";
import { healthMethods, type HealthOptions } from "./health.ts";

export interface GrpcOptions extends CallOptions {
  /** Without it, only health is served, and no tokens. */
  readonly check: AuthorizationOptions | undefined;
  readonly health: Pick<HealthOptions, "isReady" | "draining">;
}

/** Creates the function that answers every gRPC call, of whatever service. */
export function createGrpcService(
  options: GrpcOptions,
): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void {
  const { check, health, clock } = options;
  const services = check === undefined ? [] : [Authorization.typeName];
  const methods = [
    ...(check === undefined ? [] : [checkMethod(check)]),
    ...healthMethods({ ...health, services, clock }),
  ];
  const byPath = new Map(methods.map((method) => [method.path, method]));
  return (stream, headers) =>
    answerCall(stream, headers, byPath.get(headers[":path"] ?? ""), options);
}
