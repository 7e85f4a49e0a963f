import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** How a token endpoint can fail. */
export type TokenFault =
  /** Accepts a connection and closes it immediately. */
  | { readonly kind: "refuse" }
  /** Never answers. */
  | { readonly kind: "hang" }
  /** Starts an answer and resets the connection. */
  | { readonly kind: "reset" }
  /** Any answer; a `body` other than a string is sent as JSON. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** 200 with an empty body. */
  | { readonly kind: "empty" }
  /** 200 with a web page, as from a captive portal. */
  | { readonly kind: "html" }
  /** 200 with a body of 200 MB. */
  | { readonly kind: "huge" }
  | { readonly kind: "no_id_token" }
  | { readonly kind: "id_token_not_text" }
  /** A correctly signed token for another audience than the requested one. */
  | { readonly kind: "wrong_audience" }
  /** A correctly signed token that has expired. */
  | { readonly kind: "expired" }
  /** A token with a line break, which would inject a header. */
  | { readonly kind: "control_characters" }
  /** 400 with the request's body, including the assertion, in its description. */
  | { readonly kind: "echo" };

/** What an exchange is for. */
export interface FaultyRequest {
  readonly account?: string | undefined;
  readonly audience?: string | undefined;
}

/** The faults of upcoming exchanges. */
export interface Faults {
  /**
   * Makes the next `count` exchanges fail (all by default), of those that `only` selects; undefined
   * ends the fault.
   */
  readonly set: (
    fault: TokenFault | undefined,
    count?: number,
    only?: (request: FaultyRequest) => boolean,
  ) => void;
  /** The fault of the current exchange. */
  readonly next: (request?: FaultyRequest) => TokenFault | undefined;
  /** Whether to refuse the current connection, which then counts as an exchange. */
  readonly refuses: () => boolean;
}

/** Creates a set of faults, initially none. */
export function createFaults(): Faults {
  let fault: TokenFault | undefined;
  let left = 0;
  let isMeant = (_request: FaultyRequest) => true;
  const next = (request: FaultyRequest = {}) => {
    if (left === 0 || !isMeant(request)) return undefined;
    left -= 1;
    return fault;
  };
  return {
    set: (newFault, count = Number.POSITIVE_INFINITY, only = () => true) => {
      fault = newFault;
      left = count;
      isMeant = only;
    },
    next,
    refuses: () => fault?.kind === "refuse" && next() !== undefined,
  };
}

/** What faulty answers are built from. */
export interface FaultMaterial {
  /** The request's body. */
  readonly body: string;
  /** Signs a token for the request with some claims changed. */
  readonly sign: (changes: Readonly<Record<string, unknown>>) => Promise<string>;
  readonly nowSeconds: number;
}

/** Answers a request with a fault. Resolves when everything is sent or the peer is gone. */
export async function answerWithFault(
  fault: TokenFault,
  response: ServerResponse,
  { body, sign, nowSeconds }: FaultMaterial,
): Promise<void> {
  switch (fault.kind) {
    case "refuse":
      response.socket?.destroy();
      return;
    case "hang":
      return;
    case "reset":
      response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
      response.write('{"id_token":"', () => response.socket?.resetAndDestroy());
      return;
    case "status":
      return sendAny(response, fault.status, fault.body ?? "", fault.headers);
    case "empty":
      return sendAny(response, 200, "");
    case "html":
      return sendAny(response, 200, "<!doctype html><title>Log in</title>", {
        "content-type": "text/html",
      });
    case "huge":
      return sendHuge(response);
    case "no_id_token":
      return sendAny(response, 200, { access_token: "none", expires_in: 3599 });
    case "id_token_not_text":
      return sendAny(response, 200, { id_token: 12_345 });
    case "wrong_audience":
      return sendAny(response, 200, { id_token: await sign({ aud: "https://other.example" }) });
    case "expired":
      return sendAny(response, 200, {
        id_token: await sign({ iat: nowSeconds - 3601, exp: nowSeconds - 1 }),
      });
    case "control_characters":
      return sendAny(response, 200, { id_token: `${await sign({})}\r\nx-injected: 1` });
    case "echo":
      return sendAny(response, 400, { error: "invalid_grant", error_description: body });
  }
}

/** Sends a complete answer, as JSON unless the body is a string. */
export function sendAny(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const isText = typeof body === "string";
  response.writeHead(status, {
    "content-type": isText ? "text/plain" : "application/json; charset=utf-8",
    ...headers,
  });
  response.end(isText ? body : JSON.stringify(body));
}

async function sendHuge(response: ServerResponse): Promise<void> {
  const megabyte = Buffer.alloc(1_000_000, "a");
  response.writeHead(200, { "content-type": "application/json" });
  // The reader stops long before the end.
  await pipeline(Readable.from(Array<Buffer>(200).fill(megabyte)), response).catch(() => {});
}
