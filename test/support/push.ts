/** As the shipped configs have it: Envoy asks after one to two of these. */
const SHIPPED_DELAY = /refresh_delay: 5s/g;

/** Makes Envoy ask for its secrets more often than the shipped configs do. */
export function pollEvery(delay: string): (config: string) => string {
  return (config) => {
    if (config.search(SHIPPED_DELAY) === -1) throw new Error(`no ${SHIPPED_DELAY} in the config`);
    return config.replace(SHIPPED_DELAY, `refresh_delay: ${delay}`);
  };
}
