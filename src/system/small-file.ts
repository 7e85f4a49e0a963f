import { close, constants, fstat, open, read, type Stats } from "node:fs";
import { Socket } from "node:net";
import { resolve } from "node:path";
import { isatty, ReadStream } from "node:tty";
import { promisify } from "node:util";
import PQueue from "p-queue";
import { readBoundedBytes } from "./bounded-body.ts";
import { codeOf, StartError } from "./errors.ts";
import { showPath } from "./show.ts";

/** What a file held when it was read. */
export interface FileContent {
  readonly bytes: Buffer;
  /** Whether reading the path again gives the file's content anew; not so for a pipe. */
  readonly canReadAgain: boolean;
}

/** Key files have 2.4 KB, bundles of certificates some 200 KB. */
const MAX_BYTES = 1_048_576;
const TOO_LARGE = `it has more than ${MAX_BYTES} bytes`;
/**
 * Each read may hold one of libuv's four threads for as long as its volume does not answer; name
 * resolution needs the others.
 */
const threads = new PQueue({ concurrency: 2 });

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const readFile = promisify(read);

/**
 * Reads a small file, whatever kind it is: for a pipe it waits until the writer is done, without
 * holding a thread. `what` names the content in messages. Rejects with a StartError of one line.
 */
export async function readOnce(path: string, what: string): Promise<FileContent> {
  return readFrom(path, what, "any");
}

/**
 * Reads a small file again: nothing but a regular file is read, so that it cannot wait for a
 * writer. Rejects with a StartError of one line.
 */
export async function readAgain(path: string, what: string): Promise<FileContent> {
  return readFrom(path, what, "regular");
}

async function readFrom(path: string, what: string, kind: "any" | "regular"): Promise<FileContent> {
  try {
    const opened = await threads.add(() => openAndRead(path, kind));
    if ("bytes" in opened) return opened;
    return { bytes: await readStream(opened.stream), canReadAgain: false };
  } catch (cause) {
    throw new StartError(`${showPath(path)}: ${what} cannot be read: ${reasonFor(cause)}`, {
      cause,
    });
  }
}

type Opened = FileContent | { readonly stream: Socket | ReadStream };

/** Reads what cannot make it wait for a writer, and returns a stream of anything else. */
async function openAndRead(path: string, kind: "any" | "regular"): Promise<Opened> {
  const inherited = inheritedDescriptor(path);
  const descriptor = inherited ?? (await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK));
  let isStreamed = false;
  try {
    const stats = await statFile(descriptor);
    if (stats.isDirectory()) throw new Unreadable("it is a directory");
    if (kind === "regular" && !stats.isFile()) throw new Unreadable("it is not a regular file");
    isStreamed = stats.isFIFO() || stats.isSocket() || isatty(descriptor);
    if (isStreamed) return { stream: openStream(descriptor) };
    return await readRegular(descriptor, stats, inherited);
  } finally {
    if (!isStreamed && inherited === undefined) await closeFile(descriptor);
  }
}

async function readRegular(
  descriptor: number,
  stats: Stats,
  inherited: number | undefined,
): Promise<FileContent> {
  const chunks: Buffer[] = [];
  let length = 0;
  for (;;) {
    const position = stats.isFile() ? length : null;
    const chunk = Buffer.alloc(65_536);
    const { bytesRead } = await readFile(descriptor, chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    length += bytesRead;
    if (length > MAX_BYTES) throw new Unreadable(TOO_LARGE);
    chunks.push(chunk.subarray(0, bytesRead));
  }
  return {
    bytes: Buffer.concat(chunks),
    canReadAgain: stats.isFile() && inherited === undefined,
  };
}

/** Takes the descriptor over and closes it in the end. */
function openStream(descriptor: number): Socket | ReadStream {
  if (isatty(descriptor)) return new ReadStream(descriptor);
  return new Socket({ fd: descriptor, readable: true, writable: false });
}

async function readStream(stream: Socket | ReadStream): Promise<Buffer> {
  const bytes = await readBoundedBytes(stream, MAX_BYTES);
  if (bytes === undefined) throw new Unreadable(TOO_LARGE);
  return bytes;
}

/** The descriptor that a path such as /dev/stdin or a shell's `<(command)` stands for. */
function inheritedDescriptor(path: string): number | undefined {
  const match = /^\/(?:dev\/(?:fd\/(\d+)|(stdin))|proc\/self\/fd\/(\d+))$/.exec(resolve(path));
  if (match === null) return undefined;
  return Number(match[1] ?? match[3] ?? 0);
}

/** Why a file cannot be read; the message is the reason. */
class Unreadable extends Error {}

function reasonFor(cause: unknown): string {
  if (cause instanceof Unreadable) return cause.message;
  const code = codeOf(cause) ?? "unknown error";
  return REASONS[code] ?? code;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EACCES: "permission to read it is denied",
  ENAMETOOLONG: "it must be the path of a file, not the content",
  ERR_INVALID_ARG_VALUE: "it must be the path of a file, not the content",
  EBADF: "nothing is open at that number",
};
