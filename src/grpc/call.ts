import { Code, createContextKey, createContextValues } from "@connectrpc/connect";
import type { ContextValues, HandlerContext } from "@connectrpc/connect";
import type { UniversalHandlerFn } from "@connectrpc/connect/protocol";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { clientNames } from "../access/client-names.ts";
import { unlessAborted } from "../system/unless-aborted.ts";

/** The names of the verified certificate of a call's client. */
export const CLIENT = createContextKey<readonly string[]>([]);
/** Aborted when the call ends, by its deadline too. */
const ENDED = createContextKey(new AbortController().signal);

/** What the library would parse, and throw or refuse, and nothing here reads. */
const UNREAD_HEADERS = { ":authority": "authz", "content-type": "application/grpc" };
/** A Node timer fires immediately after more than 24 days; these, of four days and more, have none. */
const LONG_TIMEOUT = /^(?:\d{3,}H|\d{5,}M|\d{7,}S)$/;

/**
 * Answers one call with the library's handler of its method, or UNIMPLEMENTED if there is none. An
 * unexpected error is reported and resets the stream.
 */
export function answerCall(
  handler: UniversalHandlerFn | undefined,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  onFault: (error: unknown) => void,
): void {
  const { stream } = request;
  answer(handler, request, response).catch((error: unknown) => {
    // Nobody is left to be answered.
    if (stream.closed) return;
    onFault(error);
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  });
}

/** Tells the reading of a call's request when the call ends: a request gate of the library. */
export function rememberEnd({ values, signal }: HandlerContext): void {
  values.set(ENDED, signal);
}

async function answer(
  handler: UniversalHandlerFn | undefined,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): Promise<void> {
  const found = await (handler === undefined
    ? unknownMethod()
    : handle(handler, request, response));
  // The stream closes only when its request has been read to the end, which the library may not do.
  request.removeAllListeners("readable").resume();
  await universalResponseToNodeResponse(found, response);
}

function handle(
  handler: UniversalHandlerFn,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
) {
  const { headers, stream } = request;
  Object.assign(headers, UNREAD_HEADERS);
  if (LONG_TIMEOUT.test(String(headers["grpc-timeout"]))) delete headers["grpc-timeout"];
  const values = createContextValues().set(CLIENT, clientNames(stream.session?.socket));
  const call = universalRequestFromNodeRequest(request, response, undefined, values);
  return handler({ ...call, body: untilEnd(call.body as AsyncIterable<Uint8Array>, values) });
}

/** Reads until the call ends: the library itself waits for the rest of a request longer. */
function untilEnd(body: AsyncIterable<Uint8Array>, values: ContextValues) {
  const chunks = body[Symbol.asyncIterator]();
  const next = () => unlessAborted(chunks.next(), values.get(ENDED));
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

function unknownMethod() {
  const status = { "grpc-status": String(Code.Unimplemented), "grpc-message": "unknown method" };
  const header = new Headers({ "content-type": "application/grpc" });
  return { status: 200, header, trailer: new Headers(status) };
}
