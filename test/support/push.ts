import { fetchSeries } from "./series.ts";

/** The shipped configs' setting: Envoy polls again after one to two of these. */
const SHIPPED_DELAY = /refresh_delay: 5s/g;

/** Changes how often Envoy polls for its secrets. */
export function pollEvery(delay: string): (config: string) => string {
  return (config) => {
    if (config.search(SHIPPED_DELAY) === -1) throw new Error(`no ${SHIPPED_DELAY} in the config`);
    return config.replace(SHIPPED_DELAY, `refresh_delay: ${delay}`);
  };
}

/** Reads how many pushes of an auth server have had this outcome so far. */
export function countPushes(url: string, outcome: string): Promise<number> {
  return fetchSeries(url, `pushes_total{outcome="${outcome}"}`);
}
