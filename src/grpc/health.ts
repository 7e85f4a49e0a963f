import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { Clock } from "../system/clock.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "./gen/grpc/health/v1/health_pb.ts";

export interface HealthOptions {
  /** The services whose health may be asked for, beside the whole server's. */
  readonly services: readonly string[];
  /** Whether every configured audience has an unexpired token. */
  readonly isReady: () => boolean;
  /** Aborted when a drain begins. */
  readonly draining: AbortSignal;
  readonly clock: Clock;
}

/** How often a watched status is compared; a drain is reported immediately. */
const POLL_MS = 1000;

/** Implements `grpc.health.v1.Health`: every service is serving while the server is ready. */
export function createHealth(options: HealthOptions): ServiceImpl<typeof Health> {
  const { isReady, draining, clock } = options;
  const services = new Set(["", ...options.services]);

  function statusOf(service: string): ServingStatus {
    if (!services.has(service)) return ServingStatus.SERVICE_UNKNOWN;
    return isReady() && !draining.aborted ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  async function* watch(service: string, signal: AbortSignal) {
    const ended = AbortSignal.any([signal, draining]);
    let last: ServingStatus | undefined;
    for (;;) {
      signal.throwIfAborted();
      const status = statusOf(service);
      if (status !== last) yield { status };
      last = status;
      if (draining.aborted) throw new ConnectError("the server is draining", Code.Unavailable);
      await pause(clock, ended);
    }
  }

  return {
    check: ({ service }) => {
      const status = statusOf(service);
      if (status !== ServingStatus.SERVICE_UNKNOWN) return { status };
      throw new ConnectError("unknown service", Code.NotFound);
    },
    watch: ({ service }, { signal }) => watch(service, signal),
  };
}

/** Waits until the next comparison is due, or the signal aborts. */
function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  if (signal.aborted) resolve();
  const cancel = clock.schedule(POLL_MS, resolve);
  signal.addEventListener("abort", onAbort);
  return promise.finally(() => {
    cancel();
    signal.removeEventListener("abort", onAbort);
  });
}
