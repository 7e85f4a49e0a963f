import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * What the program does: takes Envoy's flags, serves an admin endpoint that is ready, with one open
 * request until its listeners are drained, and logs lines in Envoy's two formats. It does not answer
 * the first question about them. A POST to /crash ends it with exit code 7, SIGTERM with 0.
 */
const PROGRAM = `
const { createServer } = require("node:http");
const { writeFileSync } = require("node:fs");
if (process.argv.includes("--version")) {
  console.log("envoy  version: 0/1.40.0/Clean/RELEASE/BoringSSL");
  process.exit(0);
}
let open = 1;
let isBusy = true;
const server = createServer(({ url }, response) => {
  if (url.startsWith("/stats?") && isBusy) {
    isBusy = false;
    return response.destroy();
  }
  if (url.startsWith("/stats?")) console.error("warning|main|open: " + open);
  if (url === "/crash") process.exit(7);
  if (url === "/drain_listeners") open = 0;
  response.end(url.startsWith("/stats?")
    ? "listener.http.downstream_cx_active: " + open + "\\nhttp.http.downstream_cx_active: " + open +
      "\\nhttp.http.downstream_rq_active: " + open + "\\n"
    : "LIVE");
});
server.listen(0, "127.0.0.1", () => {
  const at = process.argv.indexOf("--admin-address-path") + 1;
  writeFileSync(process.argv[at], "127.0.0.1:" + server.address().port);
  console.error("warning|main|started");
  console.log("[2026-01-01T00:00:00Z] request failed");
});
process.on("SIGTERM", () => process.exit(0));
`;

/** Writes a program that behaves as Envoy does towards its supervisor. Resolves with its path. */
export async function writeStandInEnvoy(folder: string): Promise<string> {
  return writeProgram(folder, `#!${process.execPath}\n${PROGRAM}`);
}

/** Writes an Envoy that reports an error and exits with 1 as soon as it is started. */
export async function writeFailingEnvoy(folder: string): Promise<string> {
  return writeProgram(
    folder,
    `#!/bin/sh
case "$*" in *--version*) echo "envoy  version: 0/1.40.0/Clean/RELEASE/BoringSSL"; exit 0 ;; esac
echo "critical|main|cannot bind '127.0.0.1:80'" >&2
exit 1
`,
  );
}

async function writeProgram(folder: string, text: string): Promise<string> {
  const path = join(folder, "envoy");
  await writeFile(path, text);
  await chmod(path, 0o755);
  return path;
}
