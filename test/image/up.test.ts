import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { LIMITS, LOCKED, podman, startContainer } from "./container.ts";

const IMAGE = "localhost/idtoken-authz-up";

it("the image of up has the version of package.json in its label and in its program", async () => {
  const labels = await podman("inspect", "--format={{json .Config.Labels}}", IMAGE);
  const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  expect(JSON.parse(labels)).toMatchObject({ "org.opencontainers.image.version": version });
  expect(await podman("run", "--rm", ...LIMITS, ...LOCKED, IMAGE, "--version")).toBe(
    `${version}\n`,
  );
});

it("the image of up runs as user 65532 and contains Envoy", async () => {
  const format = "--format={{.Config.User}}";
  expect((await podman("inspect", format, IMAGE)).trim()).toBe("65532:65532");
  await using container = startContainer(
    IMAGE,
    ["up", "gateway", "--service-url=https://a-b-ew.a.run.app", "--listen=127.0.0.1:0"],
    [...LOCKED, "--tmpfs=/tmp"],
  );
  expect(await container.line((line) => line.includes("Envoy "))).toContain("/usr/local/bin/envoy");
  // The container has no credential.
  expect(await container.ended).toBe(1);
});

it("the image of up says what is missing if no folder is writable", async () => {
  await using container = startContainer(
    IMAGE,
    ["up", "gateway", "--service-url=https://a-b-ew.a.run.app", "--listen=127.0.0.1:0"],
    LOCKED,
  );
  expect(await container.line((line) => line.includes("TMPDIR"))).toBe(
    "TMPDIR /tmp: no folder can be made there (EROFS)",
  );
  expect(await container.ended).toBe(1);
});
