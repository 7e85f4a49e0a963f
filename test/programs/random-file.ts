import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";

/** The size of a file that is carried through the tunnel. */
const FILE_BYTES = 200_000_000;
const LINE_BYTES = 1000;
const LINES_AT_A_TIME = 1000;

/** Writes a text of 200 MB in random lines. Resolves with its checksum. */
export async function writeRandomFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(function* () {
    for (let written = 0; written < FILE_BYTES; written += LINE_BYTES * LINES_AT_A_TIME) {
      const chunk = Array.from({ length: LINES_AT_A_TIME }, randomLine).join("");
      hash.update(chunk);
      yield chunk;
    }
  }, createWriteStream(path));
  return hash.digest("hex");
}

const randomLine = () =>
  `${randomBytes(LINE_BYTES)
    .toString("hex")
    .slice(0, LINE_BYTES - 1)}\n`;

/** Resolves with a file's checksum. */
export async function checksum(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** A rate for the report: 200 MB since `startedMs`. */
export const rate = (startedMs: number): string =>
  `${Math.round(FILE_BYTES / 1000 / (performance.now() - startedMs))} MB/s`;
