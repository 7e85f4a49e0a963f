import { defineConfig } from "vitest/config";

// Needs the tools that .ci/deploy installs, and the files that it makes with them.
export default defineConfig({
  test: { include: ["test/deploy/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
});
