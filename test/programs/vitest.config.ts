import { defineConfig } from "vitest/config";

// Requires PostgreSQL and OpenSSH, which .ci/programs installs. One file after another: the figures
// are those of one program at a time.
export default defineConfig({
  test: {
    include: ["test/programs/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    fileParallelism: false,
    // The only one that prints the figures of tests that pass.
    reporters: ["verbose"],
  },
});
