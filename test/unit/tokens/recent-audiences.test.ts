import { describe, expect, it } from "vitest";
import { createRecentAudiences } from "../../../src/tokens/recent-audiences.ts";

function setUp(max: number) {
  const dropped: string[] = [];
  const pinned = new Set<string>();
  const recent = createRecentAudiences({
    max,
    isPinned: (audience) => pinned.has(audience),
    onDropped: (audience) => dropped.push(audience),
  });
  const use = (caller: string, ...audiences: readonly string[]) => {
    for (const audience of audiences) recent.use(audience, caller);
  };
  return { ...recent, use, dropped, pinned };
}

describe("createRecentAudiences", () => {
  it("drops the least recently used audiences beyond the maximum", () => {
    const { use, trim, dropped } = setUp(2);
    use("web", "a", "b", "a", "c", "d");
    trim();
    expect(dropped).toEqual(["b", "a"]);
  });

  it("does not drop a pinned audience; it is dropped later if it is still the oldest", () => {
    const { use, trim, dropped, pinned } = setUp(1);
    use("web", "a", "b");
    pinned.add("a").add("b");
    trim();
    expect(dropped).toEqual([]);
    pinned.clear();
    trim();
    expect(dropped).toEqual(["a"]);
  });

  it("has a maximum for each caller, whatever the others use", () => {
    const { use, trim, dropped } = setUp(2);
    use("web", "a", "b");
    use("flood", "1", "2", "3", "4");
    trim();
    expect(dropped).toEqual(["1", "2"]);
  });

  it("drops an audience only if no other caller uses it", () => {
    const { use, trim, dropped } = setUp(1);
    use("web", "shared");
    use("flood", "shared", "1", "2");
    trim();
    expect(dropped).toEqual(["1"]);
  });

  it("drops an audience for every caller on demand", () => {
    const { use, trim, drop, dropped } = setUp(1);
    use("web", "shared");
    use("cart", "shared");
    drop("shared");
    use("web", "a");
    use("cart", "b");
    trim();
    expect(dropped).toEqual(["shared"]);
  });
});
