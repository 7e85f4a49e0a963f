import { fault, isObject, type Fields } from "./fields.ts";

const CUT_SHORT = "it is not JSON, or cut short";

/**
 * Parses the JSON object in a credential file; `path` is the file's name in messages. Throws a
 * StartError of one line that shows nothing of the content. Common mistakes, such as a file that is
 * still base64, are named with what to do about them.
 */
export function parseContent(content: Buffer, path: string): Fields {
  const text = decode(content, path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the file.
    throw fault({ path }, findMistake(text) ?? CUT_SHORT);
  }
  if (!isObject(value)) {
    const isEncodedTwice = typeof value === "string" && value.trimStart().startsWith("{");
    throw fault(
      { path },
      isEncodedTwice
        ? "it is JSON encoded twice: write the object itself, without quotes around it"
        : "it is not a JSON object",
    );
  }
  if (isObject(value["installed"]) || isObject(value["web"])) {
    throw fault(
      { path },
      "it is an OAuth client, not a credential: log in with it, as in " +
        "gcloud auth application-default login --client-id-file=FILE, or give a service account's key",
    );
  }
  return { path, prefix: "", values: value };
}

function decode(content: Buffer, path: string): string {
  // JSON has no NUL, and in UTF-16 every second byte of it is one.
  if (content.includes(0)) {
    throw fault({ path }, "it is UTF-16, as PowerShell's > writes it: save it as UTF-8");
  }
  const text = content
    .toString("utf8")
    .replace(/^\uFEFF/, "")
    .trim();
  if (text === "") throw fault({ path }, "it is empty");
  return text;
}

/** What somebody seems to have done to a file that is not JSON. */
function findMistake(text: string): string | undefined {
  if (text.startsWith("-----BEGIN")) {
    return "it is a key alone: give the whole JSON file that Google wrote";
  }
  if (/^["'`]\s*\{/.test(text)) return "it has quotes around it: write the object itself";
  if (isBase64OfJson(text)) return "it is base64: decode it, as in base64 -d FILE >key.json";
  return undefined;
}

/** Whether a text becomes JSON when it is decoded from base64, once or more. */
function isBase64OfJson(text: string): boolean {
  if (!/^["']?[\w+/=\s-]+["']?$/.test(text)) return false;
  const decoded = Buffer.from(text, "base64").toString("utf8").trim();
  return decoded.startsWith("{") || (decoded.length >= 4 && isBase64OfJson(decoded));
}
