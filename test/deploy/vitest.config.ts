import { defineConfig } from "vitest/config";

// Requires the tools that .ci/deploy installs, and the files that it writes with them.
export default defineConfig({
  test: { include: ["test/deploy/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
});
