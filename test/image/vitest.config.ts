import { defineConfig } from "vitest/config";

// Requires the images that .ci/image builds.
export default defineConfig({
  test: { include: ["test/image/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
});
