import { startServer } from "../test/support/server-process.ts";
import { createSharedFiles } from "../test/support/shared-files.ts";
import { startBareTlsServer } from "./bare-tls-server.ts";
import { startFlood, type FloodKind } from "./flood.ts";
import { startGoogleProcess } from "./google-process.ts";
import { interleave, type OnStep } from "./interleave.ts";
import { compare, median, type Line } from "./line.ts";
import { benchPolicyChanges, REFUSED, type Policy } from "./policy-changes.ts";
import { openSteadyCaller, type SteadyLoad } from "./steady.ts";

const ROUNDS = 5;
/** As long as the mint timeout, so that a flood's mints time out in each load. */
const LOAD = { perSecond: 500, seconds: 5 };
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const FLOOD = "spiffe://cluster.local/ns/shop/sa/flood";
const [WEB_ACCOUNT, CART_ACCOUNT] = ["shop-web", "shop-cart"].map(
  (name) => `${name}@test-project.iam.gserviceaccount.com`,
) as [string, string];
const AUDIENCE = "https://orders-abc123-ew.a.run.app";
/** The flood's mints are signed with the server's own key, the most work that a mint can be. */
const OF_FLOOD = `{client: ${FLOOD}, audiences: [${AUDIENCE}, "https://*.run.app"]}`;
const REVOKED = { text: `callers: [${OF_FLOOD}]\n`, outcome: REFUSED };
const [AS_WEB, AS_CART] = [WEB_ACCOUNT, CART_ACCOUNT].map((account) => {
  const ofWeb = `{client: ${WEB}, audiences: [${AUDIENCE}], impersonate: ${account}}`;
  return { text: `callers: [${ofWeb}, ${OF_FLOOD}]\n`, outcome: account };
}) as [Policy, Policy];
const FLOODS = [
  ["cached", "checks for a cached token"],
  ["cold", "checks for new audiences"],
  ["hang", "checks for new audiences while Google hangs"],
] as const;

/** A load of the auth server and, at the same time, of a bare server. */
interface Loads {
  readonly shared: SteadyLoad;
  readonly bare: SteadyLoad;
  /** How many checks of a flood were answered per second at the same time. */
  readonly floodPerSecond: number;
}

/** Measures what one caller's flood does to another caller, and changes of the policy under load. */
export async function benchShared(onStep: OnStep): Promise<readonly Line[]> {
  await using parts = new AsyncDisposableStack();
  const { google, files, server, flood, callers } = await prepare(parts);

  async function load(): Promise<Loads> {
    const [shared, bare] = await Promise.all([callers.shared.load(LOAD), callers.bare.load(LOAD)]);
    return { shared, bare, floodPerSecond: 0 };
  }

  async function loadBeside(kind: FloodKind): Promise<Loads> {
    await using flooding = await startFlood(flood, kind);
    const loads = await load();
    const answered = Object.values(await flooding.counts()).reduce((sum, count) => sum + count, 0);
    return { ...loads, floodPerSecond: answered / LOAD.seconds };
  }

  async function loadWhileGoogleHangs(): Promise<Loads> {
    await google.setAnswers("never");
    const loads = await loadBeside("cold");
    await google.setAnswers("delayed");
    return loads;
  }

  const measures = {
    alone: load,
    cached: () => loadBeside("cached"),
    cold: () => loadBeside("cold"),
    hang: loadWhileGoogleHangs,
  };
  const loads = await interleave(measures, { rounds: ROUNDS, onStep });
  onStep("changing the policy");
  const changes = await benchPolicyChanges(server, callers.shared, {
    policies: [AS_WEB, AS_CART, REVOKED],
    write: files.writePolicy,
  });
  return [
    ...FLOODS.flatMap(([name, what]) => compareLoads(what, loads[name], loads.alone)),
    changes,
  ];
}

function compareLoads(
  what: string,
  beside: readonly Loads[],
  alone: readonly Loads[],
): readonly Line[] {
  const p99s = (loads: readonly Loads[], of: "shared" | "bare") =>
    loads.map((each) => each[of].p99Ms);
  const ratio = (against: string, to: readonly number[]) =>
    compare(
      `p99 beside another caller's flood of ${what}, against ${against}`,
      p99s(beside, "shared"),
      to,
      {
        unit: "ms",
        goal: { atMost: 2 },
      },
    );
  const flood = median(beside.map(({ floodPerSecond }) => floodPerSecond)).toFixed(0);
  const own = ratio("alone", p99s(alone, "shared"));
  return [
    { ...own, figures: `${own.figures}, ${flood} checks/s of the flood` },
    ratio("a bare server that gets no flood, at the same time", p99s(beside, "bare")),
  ];
}

async function prepare(parts: AsyncDisposableStack) {
  const google = parts.use(await startGoogleProcess([WEB_ACCOUNT, CART_ACCOUNT]));
  const files = parts.use(await createSharedFiles());
  await files.writePolicy(AS_WEB.text);
  const flags = [`--credentials=${google.keyFile}`, "--admin-listen=127.0.0.1:0"];
  const server = parts.use(await startServer([...files.flags, ...flags], google.env));
  const ca = files.authority.certificatePem;
  const { address } = server;
  const web = { ...(await files.issue(WEB)), ca, address };
  const flood = { ...(await files.issue(FLOOD)), ca, address };
  const bare = parts.use(await startBareTlsServer({ ...(await files.issueServer()), ca }, 1000));
  const callers = {
    shared: parts.use(await openSteadyCaller(web)),
    bare: parts.use(await openSteadyCaller({ ...web, address: bare.address })),
  };
  // Mints the token.
  await callers.shared.load({ perSecond: 100, seconds: 1 });
  return { google, files, server, flood, callers };
}
