import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { IncomingHttpHeaders } from "node:http2";
import { decodeFrame, encodeFrame } from "./message-frame.ts";

/** The frames of a call's answer, one if the method is unary. */
export type Answer = Buffer | Promise<Buffer> | AsyncIterable<Buffer>;

/** One method, from request frame to answer frames. */
export interface Method {
  /** The `:path` of its calls. */
  readonly path: string;
  /** Throws, or rejects with, a StatusError to end the call with a status. */
  readonly run: (
    frame: Buffer,
    metadata: IncomingHttpHeaders,
    signal: AbortSignal,
    client?: readonly string[],
  ) => Answer;
}

/** Implements a unary method. An answer that is not a promise is sent immediately. */
export function unary<I extends DescMessage, O extends DescMessage>(
  description: DescMethodUnary<I, O>,
  handle: (
    request: MessageShape<I>,
    metadata: IncomingHttpHeaders,
    /** The names of the client's verified certificate. */
    client: readonly string[],
  ) => MessageInitShape<O> | Promise<MessageInitShape<O>>,
): Method {
  const { input, output } = description;
  const encode = (answer: MessageInitShape<O>) => encodeFrame(output, answer);
  return {
    path: pathOf(description),
    run: (frame, metadata, _signal, client = []) => {
      const answer = handle(decodeFrame(input, frame), metadata, client);
      return answer instanceof Promise ? answer.then(encode) : encode(answer);
    },
  };
}

/** Implements a method that answers with a stream; `signal` aborts when the call ends. */
export function serverStreaming<I extends DescMessage, O extends DescMessage>(
  description: DescMethodServerStreaming<I, O>,
  handle: (request: MessageShape<I>, signal: AbortSignal) => AsyncIterable<MessageInitShape<O>>,
): Method {
  const { input, output } = description;
  return {
    path: pathOf(description),
    run: async function* (frame, _metadata, signal) {
      for await (const answer of handle(decodeFrame(input, frame), signal)) {
        yield encodeFrame(output, answer);
      }
    },
  };
}

function pathOf({
  parent,
  name,
}: {
  readonly parent: { readonly typeName: string };
  readonly name: string;
}) {
  return `/${parent.typeName}/${name}`;
}
