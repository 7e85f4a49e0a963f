import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Most of the time goes by in other processes.
    maxWorkers: "100%",
    // .ci/image and .ci/deploy run these, with what those install.
    exclude: ["test/image/**", "test/deploy/**"],
    // Real processes and a real Envoy take their time on a busy machine; nothing waits it out.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
