import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Most of the time goes by in other processes.
    maxWorkers: "100%",
    // .ci/image, .ci/deploy, .ci/browser and .ci/programs run these, with what those install.
    exclude: ["test/image/**", "test/deploy/**", "test/browser/**", "test/programs/**"],
    // Real processes and a real Envoy take their time on a busy machine; nothing waits it out.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
