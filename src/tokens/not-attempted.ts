import { MintError, type MintCode } from "../system/errors.ts";

/** No request was sent: nothing to report, and no new failure to count. */
export abstract class MintNotAttempted extends MintError {
  /** Milliseconds until an attempt makes sense. */
  abstract readonly retryInMs: number;
}

/** The credential was refused earlier, which was reported then, and its backoff still runs. */
export class BackoffRunning extends MintNotAttempted {
  readonly retryInMs: number;

  /** `refusal` is the earlier failure; `leftMs` is what is left of its backoff. */
  constructor(refusal: { readonly code: MintCode; readonly message: string }, leftMs: number) {
    super(refusal.code, refusal.message);
    this.retryInMs = Math.ceil(leftMs);
  }
}

/** Too many mints of a caller are waiting for their turn. */
export class MintQueueFull extends MintNotAttempted {
  readonly retryInMs = 1000;
  /** Empty if callers are not told apart. */
  readonly caller: string;

  constructor(caller: string) {
    super("mint_unavailable", "too many audiences are waiting for a token");
    this.caller = caller;
  }
}
