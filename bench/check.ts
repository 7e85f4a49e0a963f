import { startGoogle } from "../test/support/google.ts";
import { startServer } from "../test/support/server-process.ts";
import { startBareServer } from "./bare-server.ts";
import { compare, type Line } from "./line.ts";
import { loadRequests } from "./loads.ts";
import { interleave, type OnStep } from "./interleave.ts";

const ROUNDS = 9;

/** Compares a check of a cached token with servers that only send the same header. */
export async function benchCheck(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  const google = parts.use(await startGoogle({ services: [] }));
  const flags = [`--credentials=${google.keyFile}`, "--audience=https://a.run.app"];
  const authServer = parts.use(await startServer(flags));
  const warm = await fetch(`${authServer.url}/check`);
  const length = warm.headers.get("authorization")?.length ?? 0;
  const bare = parts.use(await startBareServer("node:http", length));
  const fastify = parts.use(await startBareServer("fastify", length));
  const measures = {
    check: () => loadRequests(`${authServer.url}/check`),
    bare: () => loadRequests(`${bare.url}/check`),
    fastify: () => loadRequests(`${fastify.url}/check`),
  };
  const loads = await interleave(measures, { rounds: ROUNDS, onStep });
  const rates = (of: keyof typeof loads) => loads[of].map(({ perSecond }) => perSecond);
  const p99s = (of: keyof typeof loads) => loads[of].map(({ p99Ms }) => p99Ms);
  const times = (of: keyof typeof loads) => rates(of).map((rate) => 1e6 / rate);
  return [
    compare("check against bare node:http, requests/s", rates("check"), rates("bare"), {
      unit: "requests/s",
      goal: { atLeast: 0.85 },
    }),
    compare("check against bare node:http, p99", p99s("check"), p99s("bare"), {
      unit: "ms",
      goal: { atMost: 1.3 },
    }),
    compare(
      "check against a bare Fastify route, time per request",
      times("check"),
      times("fastify"),
      {
        unit: "µs",
        goal: { atMost: 1.15 },
      },
    ),
  ];
}
