import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ChannelCredentials,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  makeGenericClientConstructor,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  CheckRequestSchema,
  CheckResponseSchema,
  type CheckResponse,
} from "../../src/grpc/gen/envoy/service/auth/v3/external_auth_pb.ts";
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  type HealthCheckRequest,
  type HealthCheckResponse,
} from "../../src/grpc/gen/grpc/health/v1/health_pb.ts";

function method<I extends DescMessage, O extends DescMessage>(
  path: string,
  input: I,
  output: O,
  responseStream = false,
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: (message) => Buffer.from(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

const CHECK = "/envoy.service.auth.v3.Authorization/Check";
const methods = {
  check: method(CHECK, CheckRequestSchema, CheckResponseSchema),
  missing: method(`${CHECK}Not`, CheckRequestSchema, CheckResponseSchema),
  health: method(
    "/grpc.health.v1.Health/Check",
    HealthCheckRequestSchema,
    HealthCheckResponseSchema,
  ),
  watch: method(
    "/grpc.health.v1.Health/Watch",
    HealthCheckRequestSchema,
    HealthCheckResponseSchema,
    true,
  ),
};
const Client = makeGenericClientConstructor(methods, "Authorization");

type Unary<O> = (
  request: unknown,
  metadata: Metadata,
  options: CallOptions,
  done: (error: ServiceError | null, response?: O) => void,
) => ClientUnaryCall;

/** How a call ended: with a response, or with another status than OK. */
export type Outcome<O> =
  | { readonly response: O }
  | { readonly code: number; readonly details: string };

export interface CallSettings {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Receives the call, for tests that cancel it. */
  readonly onCall?: (call: ClientUnaryCall) => void;
}

export interface AuthorizationClient extends Disposable {
  readonly check: (
    request: MessageInitShape<typeof CheckRequestSchema>,
    settings?: CallSettings,
  ) => Promise<Outcome<CheckResponse>>;
  /** Calls a method that does not exist. */
  readonly missing: () => Promise<Outcome<CheckResponse>>;
  readonly health: (service: string) => Promise<Outcome<HealthCheckResponse>>;
  readonly watch: (service: string) => ClientReadableStream<HealthCheckResponse>;
}

/**
 * A gRPC client of the auth server at `host:port` or `unix:path`, by the official library. With TLS,
 * the server's certificate must be for `authz`.
 */
export function createAuthorizationClient(
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
): AuthorizationClient {
  const client = new Client(address, channel, {
    "grpc.enable_retries": 0,
    "grpc.ssl_target_name_override": "authz",
  });
  const call = <O>(name: string, request: unknown, settings: CallSettings = {}) => {
    const { promise, resolve } = Promise.withResolvers<Outcome<O>>();
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(settings.metadata ?? {})) metadata.set(key, value);
    const options =
      settings.timeoutMs === undefined ? {} : { deadline: Date.now() + settings.timeoutMs };
    const unary = (client[name] as unknown as Unary<O>).bind(client);
    const open = unary(request, metadata, options, (error, response) => {
      if (error !== null) resolve({ code: error.code, details: error.details });
      else if (response !== undefined) resolve({ response });
    });
    settings.onCall?.(open);
    return promise;
  };
  return {
    check: (request, settings) =>
      call<CheckResponse>("check", create(CheckRequestSchema, request), settings),
    missing: () => call<CheckResponse>("missing", create(CheckRequestSchema)),
    health: (service) =>
      call<HealthCheckResponse>("health", create(HealthCheckRequestSchema, { service })),
    watch: (service) =>
      (
        client["watch"] as unknown as (
          request: HealthCheckRequest,
        ) => ClientReadableStream<HealthCheckResponse>
      ).call(client, create(HealthCheckRequestSchema, { service })),
    [Symbol.dispose]: () => client.close(),
  };
}

/** A check request as Envoy sends it, with an audience and a host. */
export function checkRequest(audience?: string, host?: string) {
  return {
    attributes: {
      ...(audience !== undefined && { contextExtensions: { audience } }),
      request: { http: { host: host ?? "svc.run.app" } },
    },
  };
}

/** The headers that a check's response sets on the checked request, undefined if it does not. */
export function headersOf(
  outcome: Outcome<CheckResponse>,
): Readonly<Record<string, string>> | undefined {
  if (!("response" in outcome)) return undefined;
  const { httpResponse } = outcome.response;
  if (httpResponse.case !== "okResponse") return undefined;
  const pairs = httpResponse.value.headers.map(({ header }) => [header?.key, header?.value]);
  return Object.fromEntries(pairs);
}
