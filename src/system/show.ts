/** Longer values are lists or secrets, and nobody reads them in an error message. */
const MAX_SHOWN = 200;
/** JSON, PEM, and the start of a JSON Web Token or of JSON in base64. */
const SECRET_MARKS = /[{}]|-----BEGIN|PRIVATE KEY|eyJ|ewog|ya29\.|MII[A-Za-z0-9+/]{8}/;
/** Digests and random bytes in hexadecimal; a UUID has dashes. */
const HEXADECIMAL = /[0-9a-f]{32,}/i;
/** A word that may be base64. */
const WORD = /[A-Za-z0-9+=]{12,}/g;
/** Random base64 changes its kind of character at about 65 % of its positions, a name at 35 %. */
const RANDOM_CHANGES = 0.45;

/**
 * Whether a message may show a value that somebody configured. Keys and tokens get pasted where a
 * path or an address is wanted, so nothing is shown that is long, has several lines, or looks like
 * a secret: JSON, PEM, base64, hexadecimal.
 */
export function isShowable(text: string): boolean {
  return (
    text.length <= MAX_SHOWN &&
    !/\p{Cc}/u.test(text) &&
    !SECRET_MARKS.test(text) &&
    !HEXADECIMAL.test(text) &&
    !(text.match(WORD) ?? []).some(looksRandom)
  );
}

function looksRandom(word: string): boolean {
  const kinds = Array.from(word, kindOf);
  const changes = kinds.filter((kind, index) => index > 0 && kind !== kinds[index - 1]).length;
  const isMixed = ["upper", "lower", "digit"].every((kind) => kinds.includes(kind));
  return isMixed && changes / word.length >= RANDOM_CHANGES;
}

function kindOf(character: string): string {
  if (/[A-Z]/.test(character)) return "upper";
  if (/[a-z]/.test(character)) return "lower";
  return /\d/.test(character) ? "digit" : "other";
}

/** A configured value in quotes, as error messages show it. */
export function quote(text: string): string {
  return isShowable(text) ? JSON.stringify(text) : "(value not shown)";
}

/** What a client named, as the log shows it: cut if it is long, and nothing of a token. */
export function showNamed(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (SECRET_MARKS.test(text)) return "(value not shown)";
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** An absolute path, one that starts with a dot, or a name with an extension. */
const PATH = /^(?:\.{0,2}[/\\]|[A-Za-z]:[/\\])|\.[A-Za-z]\w{0,9}$/;

/**
 * A path as error messages show it. A word that need not be a path is not shown: it may be the
 * secret itself, given where its file is wanted.
 */
export function showPath(path: string): string {
  return PATH.test(path) && isShowable(path) ? path : "(path not shown, as it may be a secret)";
}
