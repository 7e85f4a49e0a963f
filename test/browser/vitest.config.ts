import { defineConfig } from "vitest/config";

// Requires Chromium, which .ci/browser installs.
export default defineConfig({
  test: { include: ["test/browser/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
});
