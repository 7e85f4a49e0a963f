import { ConnectError, type Interceptor } from "@connectrpc/connect";

/**
 * Reports what a method throws that is no status. The library answers it with a bare INTERNAL and
 * keeps it to itself. What a call throws because it has ended is no fault.
 */
export function reportFaults(onFault: (error: unknown) => void): Interceptor {
  function report(error: unknown, { aborted }: AbortSignal): void {
    if (!aborted && !(error instanceof ConnectError)) onFault(error);
  }

  async function* reportIn<T>(messages: AsyncIterable<T>, signal: AbortSignal) {
    try {
      yield* messages;
    } catch (error) {
      report(error, signal);
      throw error;
    }
  }

  return (next) => async (request) => {
    const { signal } = request;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: reportIn(response.message, signal) };
    } catch (error) {
      report(error, signal);
      throw error;
    }
  };
}
