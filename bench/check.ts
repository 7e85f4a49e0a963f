import { startGoogle } from "../test/support/google.ts";
import { startServer } from "../test/support/server-process.ts";
import { startBareServer } from "./bare-server.ts";
import { compare, type Line } from "./line.ts";
import { compareLoads, loadRequests } from "./loads.ts";
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
    check: () => loadRequests({ url: `${authServer.url}/check`, pids: [authServer.pid] }),
    bare: () => loadRequests({ url: `${bare.url}/check`, pids: [bare.pid] }),
    fastify: () => loadRequests({ url: `${fastify.url}/check`, pids: [fastify.pid] }),
  };
  const loads = await interleave(measures, { rounds: ROUNDS, onStep });
  const p99s = (of: keyof typeof loads) => loads[of].map(({ p99Ms }) => p99Ms);
  const cpu = (of: keyof typeof loads) => loads[of].map(({ cpuUs }) => cpuUs);
  return [
    ...compareLoads("check against bare node:http", loads.check, loads.bare, {
      rate: { atLeast: 0.85 },
    }),
    compare("check against bare node:http, p99", p99s("check"), p99s("bare"), {
      unit: "ms",
      goal: { atMost: 1.3 },
    }),
    compare("check against a bare Fastify route, CPU per request", cpu("check"), cpu("fastify"), {
      unit: "µs",
      goal: { atMost: 1.15 },
    }),
  ];
}
