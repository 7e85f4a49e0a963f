import type { IncomingMessage } from "node:http";
import { Agent, request, type AgentOptions } from "node:https";
import { Readable } from "node:stream";
import type { Fetch } from "../google/exchange.ts";

/**
 * Creates a `fetch` that presents a client certificate, which Node's own cannot. It follows no
 * redirects, and uses the proxy that the environment names.
 */
export function fetchByCertificate(
  certificate: Pick<AgentOptions, "cert" | "key">,
  env: NodeJS.ProcessEnv,
): Fetch {
  const agent = new Agent({ ...certificate, proxyEnv: env });
  return async (url, { method = "GET", headers, body, signal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const given = new Request(url, { method, headers: headers ?? {}, body: body ?? null });
    const outgoing = request(url, {
      agent,
      method,
      headers: Object.fromEntries(given.headers),
      ...(signal && { signal }),
    });
    outgoing.on("response", resolve).on("error", reject);
    outgoing.end(await given.text());
    const incoming = await promise;
    const answered = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value) => [name, value] as [string, string]),
    );
    const content = Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
    return new Response(content, { status: incoming.statusCode ?? 0, headers: answered });
  };
}
