/** As the shipped configs have it: Envoy asks after one to two of these. */
const SHIPPED_DELAY = /refresh_delay: 5s/g;

/** Makes Envoy ask for its secrets at another pace than the shipped configs do. */
export function pollEvery(delay: string): (config: string) => string {
  return (config) => {
    if (config.search(SHIPPED_DELAY) === -1) throw new Error(`no ${SHIPPED_DELAY} in the config`);
    return config.replace(SHIPPED_DELAY, `refresh_delay: ${delay}`);
  };
}

/** How many secrets an auth server has handed out so far, or failed to, with this outcome. */
export async function countPushes(url: string, outcome: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const name = RegExp.escape(`idtoken_authz_pushes_total{outcome="${outcome}"}`);
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(metrics)?.[1]);
}
