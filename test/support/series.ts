/** The value of one of our series in Prometheus's text format; undefined if it is absent. */
export function readSeries(text: string, series: string): number | undefined {
  const line = text.split("\n").find((each) => each.startsWith(`idtoken_authz_${series} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

/** The same from the metrics that an auth server serves now; NaN if it is absent. */
export async function fetchSeries(url: string, series: string): Promise<number> {
  return readSeries(await (await fetch(`${url}/metrics`)).text(), series) ?? Number.NaN;
}
