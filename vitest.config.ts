import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Most of the time goes by in other processes.
    maxWorkers: "100%",
    // .ci/image, .ci/deploy and .ci/browser run these, with what those install.
    exclude: ["test/image/**", "test/deploy/**", "test/browser/**"],
    // Real processes and a real Envoy take their time on a busy machine; nothing waits it out.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
