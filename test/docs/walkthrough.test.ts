import { expect, it } from "vitest";
import { BANNER } from "../support/tcp-service.ts";
import { readDocument } from "./documents.ts";
import { followDocument } from "./walkthrough.ts";

it.each([
  { path: "README.md", requests: 1, connections: 1, doctors: 1 },
  { path: "docs/gateway.md", requests: 8, connections: 0, doctors: 0 },
  { path: "docs/push.md", requests: 2, connections: 0, doctors: 0 },
  { path: "docs/tunnel.md", requests: 0, connections: 1, doctors: 0 },
  { path: "docs/up.md", requests: 0, connections: 0, doctors: 0 },
  { path: "docs/security.md", requests: 0, connections: 0, doctors: 0 },
])(
  "The commands of $path do what it says",
  async ({ path, requests, connections, doctors }) => {
    const { commands } = await readDocument(path);
    expect(await followDocument(commands)).toEqual({
      statuses: Array.from({ length: requests }, () => "200"),
      banners: Array.from({ length: connections }, () => BANNER.trim()),
      doctors: Array.from({ length: doctors }, () => "✓✓✓✓✓✓✓✓"),
    });
    // Each document starts a dozen processes.
  },
  180_000,
);
