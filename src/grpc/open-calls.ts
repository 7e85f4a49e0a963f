import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { getHeapStatistics } from "node:v8";
import { clientNames } from "../access/client-names.ts";

/** Answers one gRPC call. */
export type AnswerCall = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

/** What a call keeps on the heap while it is open, most of it the library's. */
const BYTES_PER_CALL = 34_000;
const SHARE_OF_HEAP = 0.2;
/** How much of all that a caller with a certificate may have, so that it leaves some to others. */
const SHARE_OF_CALLER = 0.5;

/** How many calls may be open, so that a hanging mint cannot end the process: 1380 in the image. */
export function mostOpenCalls(heapBytes = getHeapStatistics().heap_size_limit): number {
  return Math.floor((heapBytes * SHARE_OF_HEAP) / BYTES_PER_CALL);
}

/**
 * Refuses calls beyond `most`, and each certificate's beyond half of that, with REFUSED_STREAM,
 * which says that they may safely be retried.
 */
export function limitOpenCalls(
  answer: AnswerCall,
  most: number,
  onRefused: () => void,
): AnswerCall {
  const openBy = new Map<string, number>();
  let open = 0;

  function count(caller: string, change: 1 | -1): void {
    const own = (openBy.get(caller) ?? 0) + change;
    if (own === 0) openBy.delete(caller);
    else openBy.set(caller, own);
    open += change;
  }

  return (request, response) => {
    const { stream } = request;
    const caller = clientNames(stream.session?.socket).join(" ");
    const own = openBy.get(caller) ?? 0;
    if (open >= most || (caller !== "" && own >= most * SHARE_OF_CALLER)) {
      onRefused();
      return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    }
    count(caller, 1);
    stream.once("close", () => count(caller, -1));
    answer(request, response);
  };
}
