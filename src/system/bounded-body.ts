/**
 * Reads a whole body, or returns undefined when it has more than `maxBytes`; the rest is then left
 * unread. Rejects when the body breaks off.
 */
export async function readBoundedBytes(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Reads a whole body as text; otherwise like `readBoundedBytes`. */
export async function readBounded(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
): Promise<string | undefined> {
  const bytes = await readBoundedBytes(body, maxBytes);
  return bytes?.toString("utf8");
}
