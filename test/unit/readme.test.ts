import { expect, it } from "vitest";
import { readReadme } from "../support/readme.ts";

it("the README's tables are those of the code; `npm run readme` writes them", async () => {
  const { is, shouldBe } = await readReadme();
  expect(is).toBe(shouldBe);
});
