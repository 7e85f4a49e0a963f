import { create, fromBinary, toBinary, type DescMessage } from "@bufbuild/protobuf";
import type { MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Status, StatusError } from "./status.ts";

/** gRPC's usual limit on a message. */
const MAX_MESSAGE_BYTES = 4 * 1_048_576;
/** A frame is a compression flag (1 byte), the message's length (4 bytes) and the message. */
const HEAD_BYTES = 5;

/** Unknown fields are skipped, whatever an Envoy of another version sends. */
const READ_OPTIONS = { readUnknownFields: false };

/** Encodes one message as a frame, uncompressed. */
export function encodeFrame<D extends DescMessage>(
  schema: D,
  message: MessageInitShape<D>,
): Buffer {
  const bytes = toBinary(schema, create(schema, message));
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, HEAD_BYTES);
  return frame;
}

/**
 * Collects the only frame of a unary request. `push` returns the whole frame once it has arrived
 * and undefined before; it throws a StatusError as soon as the frame cannot be accepted.
 */
export function createFrameReader(): { readonly push: (chunk: Buffer) => Buffer | undefined } {
  const chunks: Buffer[] = [];
  let length = 0;
  let size = 0;

  function join(): Buffer {
    const [first = Buffer.alloc(0), ...others] = chunks;
    if (others.length === 0) return first;
    const bytes = Buffer.concat(chunks);
    chunks.splice(0, chunks.length, bytes);
    return bytes;
  }

  return {
    push: (chunk) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length < HEAD_BYTES) return undefined;
      if (size === 0) size = HEAD_BYTES + requireAcceptable(join());
      if (length > size) throw new StatusError(Status.INVALID_ARGUMENT, "more than one message");
      return length === size ? join() : undefined;
    },
  };
}

/** The length of the message in a frame. Throws a StatusError if it cannot be accepted. */
function requireAcceptable(frame: Buffer): number {
  if (frame.readUInt8(0) !== 0) {
    throw new StatusError(Status.UNIMPLEMENTED, "compressed messages are not supported");
  }
  const length = frame.readUInt32BE(1);
  if (length > MAX_MESSAGE_BYTES) {
    const message = `the message has ${length} bytes, more than ${MAX_MESSAGE_BYTES}`;
    throw new StatusError(Status.RESOURCE_EXHAUSTED, message);
  }
  return length;
}

/** Decodes a whole frame's message. Throws a StatusError if it is not one. */
export function decodeFrame<D extends DescMessage>(schema: D, frame: Buffer): MessageShape<D> {
  try {
    return fromBinary(schema, frame.subarray(HEAD_BYTES), READ_OPTIONS);
  } catch {
    // The decoder's own message could quote the request.
    throw new StatusError(Status.INVALID_ARGUMENT, `the message is not a ${schema.typeName}`);
  }
}
