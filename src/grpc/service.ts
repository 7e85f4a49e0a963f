import { createConnectRouter } from "@connectrpc/connect";
import { createAuthorization, type AuthorizationOptions } from "./authorization.ts";
import { answerCall, rememberEnd } from "./call.ts";
import { reportFaults } from "./faults.ts";
import { Authorization } from "./gen/envoy/service/auth/v3/external_auth_pb.ts";
import { Health } from "./gen/grpc/health/v1/health_pb.ts";
import { createHealth, type HealthOptions } from "./health.ts";
import { limitOpenCalls, mostOpenCalls, type AnswerCall } from "./open-calls.ts";

export interface GrpcOptions extends Pick<HealthOptions, "clock"> {
  /** Without it, only health is served, and no tokens. */
  readonly check: AuthorizationOptions | undefined;
  readonly health: Pick<HealthOptions, "isReady" | "draining">;
  /** Called for each call beyond what the heap can hold. */
  readonly onRefused: () => void;
  /** Called with an unexpected error; the client gets a bare INTERNAL. */
  readonly onFault: (error: unknown) => void;
}

/** The protocol alone, with gRPC's usual limit on a message. Unknown fields are skipped. */
const GRPC_ONLY = {
  grpc: true,
  grpcWeb: false,
  connect: false,
  readMaxBytes: 4 * 1_048_576,
  binaryOptions: { readUnknownFields: false },
};

/** Creates the function that answers every gRPC call, of whatever service. */
export function createGrpcService(options: GrpcOptions): AnswerCall {
  const { check, health, clock, onRefused, onFault } = options;
  const router = createConnectRouter({
    ...GRPC_ONLY,
    requestGate: rememberEnd,
    interceptors: [reportFaults(onFault)],
  });
  if (check !== undefined) router.service(Authorization, createAuthorization(check));
  const services = check === undefined ? [] : [Authorization.typeName];
  router.service(Health, createHealth({ ...health, services, clock }));
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return limitOpenCalls(
    (request, response) => answerCall(handlers.get(request.url), request, response, onFault),
    mostOpenCalls(),
    onRefused,
  );
}
