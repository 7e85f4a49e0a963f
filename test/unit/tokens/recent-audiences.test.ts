import { describe, expect, it } from "vitest";
import { createRecentAudiences } from "../../../src/tokens/recent-audiences.ts";

function setUp(max: number) {
  const dropped: string[] = [];
  const recent = createRecentAudiences({ max, onDropped: (audience) => dropped.push(audience) });
  /** Uses audiences whose tokens are minted immediately. */
  const use = (caller: string, ...audiences: readonly string[]) => {
    for (const audience of audiences) {
      recent.use(audience, caller);
      recent.pin(audience)();
    }
  };
  return { ...recent, recent, use, dropped };
}

describe("createRecentAudiences", () => {
  it("drops the least recently used audiences beyond the maximum", () => {
    const { use, dropped } = setUp(2);
    use("web", "a", "b", "a", "c", "d");
    expect(dropped).toEqual(["b", "a"]);
  });

  it("does not drop a pinned audience; it then counts as just used", () => {
    const { recent, use, dropped } = setUp(2);
    recent.use("a", "web");
    const unpin = recent.pin("a");
    use("web", "b", "c");
    expect(dropped).toEqual(["b"]);
    unpin();
    use("web", "d");
    expect(dropped).toEqual(["b", "c"]);
  });

  it("keeps an audience that is pinned twice until both are over", () => {
    const { recent, use, dropped } = setUp(1);
    recent.use("a", "web");
    const [first, second] = [recent.pin("a"), recent.pin("a")];
    first();
    recent.use("a", "cart");
    use("web", "b");
    use("cart", "c");
    expect(dropped).toEqual(["b", "c"]);
    second();
    use("web", "d");
    use("cart", "e");
    expect(dropped).toEqual(["b", "c", "a"]);
  });

  it("has a maximum for each caller, whatever the others use", () => {
    const { use, dropped } = setUp(2);
    use("web", "a", "b");
    use("flood", "1", "2", "3", "4");
    expect(dropped).toEqual(["1", "2"]);
  });

  it("drops an audience only if no other caller uses it", () => {
    const { use, dropped } = setUp(1);
    use("web", "shared");
    use("flood", "shared", "1", "2");
    expect(dropped).toEqual(["1"]);
  });

  it("drops an audience for every caller on demand", () => {
    const { use, drop, dropped } = setUp(1);
    use("web", "shared");
    use("cart", "shared");
    drop("shared");
    use("web", "a");
    use("cart", "b");
    expect(dropped).toEqual(["shared"]);
  });
});
