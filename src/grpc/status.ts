/** The status codes of gRPC that this server sends. */
export const Status = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

export type Status = (typeof Status)[keyof typeof Status];

/** Ends a call with a status. The message is sent to the client. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
  }
}

/** The trailers of a call that ended with a status; `grpc-message` is percent-encoded. */
export function statusTrailers(status: Status, message = ""): Readonly<Record<string, string>> {
  const code = { "grpc-status": String(status) };
  return message === "" ? code : { ...code, "grpc-message": encodeURIComponent(message) };
}
