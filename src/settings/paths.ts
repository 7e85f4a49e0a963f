/** Parses the path of a file. Throws an Error whose message is the rule. */
export function parsePath(text: string): string {
  if (/^[\s"']*\{|PRIVATE KEY|[\r\n]/.test(text)) {
    throw new Error("must be a path, not the content of the file");
  }
  if (text === "" || text.includes("\0")) throw new Error("must be a path");
  return text;
}
