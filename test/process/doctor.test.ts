import { execFile } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { runDoctor } from "../support/doctor.ts";
import { startGoogle, type Google } from "../support/google.ts";
import { listenOnLoopback } from "../support/loopback.ts";
import { ROOT } from "../support/server-process.ts";
import { createServiceAccount } from "../support/service-account.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

const HOST = "hello-1234567890.europe-west1.run.app";
const GUARDED_HOST = "guarded-1234567890.europe-west1.run.app";
const EMAIL = "caller@test-project.iam.gserviceaccount.com";

const container = createServer((_request, response) => void response.end("hello\n"));
let google: Google;
let folder: AsyncDisposable & { readonly path: string };
beforeAll(async () => {
  const containerPort = await listenOnLoopback(container);
  const service = { containerPort, containerProtocol: "http1" } as const;
  google = await startGoogle({
    services: [
      { ...service, host: HOST, audiences: [`https://${HOST}`] },
      { ...service, host: GUARDED_HOST, audiences: [`https://${GUARDED_HOST}`], invokers: [] },
    ],
  });
  folder = await makeTemporaryFolder();
});
afterAll(async () => {
  await google?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
  container.close();
});

afterEach(() => {
  google.endpoint.setFault(undefined);
  google.endpoint.setClockOffset(0);
});

const withKey = (...args: readonly string[]) => [`--credentials=${google.keyFile}`, ...args];
const audience = "--audience=https://tunnel.example";

describe("doctor for a working setup", () => {
  it("prints one line per check and exits with 0", async () => {
    const { code, stdout, stderr } = await runDoctor(withKey(...google.serviceFlags(HOST)));
    const endpoint = new URL(google.endpoint.url).host;
    expect(stderr).toBe("");
    expect(stdout.split("\n")).toEqual([
      `✓ file    ${google.keyFile} can be read by its owner only (mode 0600)`,
      `✓ key     service_account ${EMAIL}, key ID ${google.account.keyId}`,
      "✓ dns     127.0.0.1 is an IP address",
      `✓ tcp     ${endpoint} accepts connections`,
      `✓ tls     not used: the endpoint is http://${endpoint}`,
      `✓ clock   within 1 s of ${endpoint}'s`,
      expect.stringMatching(
        `^✓ mint    ID token from https://accounts.google.com for https://${HOST}, email ${EMAIL}, expires 20[^ ]+Z, in 60 min$`,
      ),
      `✓ service https://${HOST} is reachable: 200 with the token, 403 without`,
      "",
    ]);
    expect(code).toBe(0);
  });

  it("prints one JSON document with --json", async () => {
    const { code, stdout } = await runDoctor(withKey("--json", ...google.serviceFlags(HOST)));
    const { passed, checks } = JSON.parse(stdout) as { passed: boolean; checks: unknown[] };
    expect(passed).toBe(true);
    expect(checks.slice(5)).toEqual([
      {
        name: "clock",
        state: "passed",
        message: expect.stringMatching(/^within 1 s/),
        facts: { skewSeconds: 0 },
      },
      {
        name: "mint",
        state: "passed",
        message: expect.stringMatching(/^ID token from /),
        facts: {
          issuer: "https://accounts.google.com",
          audience: `https://${HOST}`,
          email: EMAIL,
          expires: expect.stringMatching(/^20.*Z$/),
        },
      },
      {
        name: "service",
        state: "passed",
        message: expect.stringMatching(/ is reachable: /),
        facts: { url: `https://${HOST}`, status: 200, statusWithoutToken: 403 },
      },
    ]);
    expect(code).toBe(0);
  });

  it("reads its settings from the environment as serve does", async () => {
    const { code, lines } = await runDoctor([], {
      GOOGLE_APPLICATION_CREDENTIALS: google.keyFile,
      AUDIENCE: "one,two",
    });
    expect(lines["mint"]).toMatch(/^✓ ID token from \S+ for one, /);
    expect(lines).not.toHaveProperty("service");
    expect(code).toBe(0);
  });

  it("prints a token that curl can use with --print-token", async () => {
    const at = `--connect-to ${HOST}:443:127.0.0.1:${google.cloudRun.port} --cacert ${google.caFile}`;
    const token = `npm run -s doctor -- --credentials ${google.keyFile} --audience https://${HOST} --print-token`;
    const script = `curl -sS -w '%{http_code}' ${at} -H "Authorization: Bearer $(${token})" https://${HOST}`;
    const { stdout, stderr } = await promisify(execFile)("sh", ["-c", script], { cwd: ROOT });
    expect(stdout).toBe("hello\n200");
    // The same run writes its report to standard error.
    expect(stderr.match(/^✓ \w+/gm)).toHaveLength(7);
  });
});

describe("doctor on a credential file", () => {
  it("says how to name one if it is missing, and skips the other checks", async () => {
    const path = `${folder.path}/none.json`;
    const { code, lines, marks } = await runDoctor([`--credentials=${path}`, audience]);
    expect(lines["file"]).toBe(
      `✗ ${path}: the credential cannot be read: there is no such file → name a credential file ` +
        `that user ${process.getuid?.()} can read: --credentials FILE, or GOOGLE_APPLICATION_CREDENTIALS`,
    );
    expect(lines["mint"]).toBe("- not checked because file failed");
    expect(marks).toBe("✗------");
    expect(code).toBe(1);
  });

  it.each([
    [0o644, "everyone", "0644"],
    [0o640, "its group", "0640"],
  ])("warns about mode %o and passes", async (mode, readers, shown) => {
    const path = `${folder.path}/my key.json`;
    await google.account.writeTo(path);
    await chmod(path, mode);
    const { code, lines, marks } = await runDoctor([`--credentials=${path}`, audience]);
    expect(lines["file"]).toBe(
      `! ${path} can be read by ${readers} (mode ${shown}) → chmod 600 '${path}'`,
    );
    expect(marks).toBe("!✓✓✓✓✓✓");
    expect(code).toBe(0);
  });

  it.each([
    [
      "that is truncated",
      '{"type":"service_account","private_key":"-----BEGIN',
      "it is not JSON, or cut short",
    ],
    [
      "with a bad key",
      JSON.stringify({ type: "service_account", client_email: EMAIL, private_key: "x" }),
      "its private_key is not a readable PEM private key",
    ],
  ])(
    "says why a file %s is unusable and how to create a new key",
    async (_what, content, reason) => {
      const path = `${folder.path}/bad.json`;
      await writeFile(path, content, { mode: 0o600 });
      const { code, lines, marks } = await runDoctor([`--credentials=${path}`, audience]);
      expect(lines["key"]).toBe(
        `✗ ${path}: no usable credential: ${reason} → use another credential, such as a new key: ` +
          "gcloud iam service-accounts keys create FILE --iam-account=EMAIL",
      );
      expect(marks).toBe("✓✗-----");
      expect(code).toBe(1);
    },
  );
});

describe("doctor on the clock", () => {
  it.each([
    [420, "behind"],
    [-420, "ahead of"],
  ])("reports a skew of %i s and that the mint failed for it", async (offsetSeconds, side) => {
    google.endpoint.setClockOffset(offsetSeconds * 1000);
    const { code, lines, marks } = await runDoctor(withKey(...google.serviceFlags(HOST)));
    expect(lines["clock"]).toMatch(
      new RegExp(
        String.raw`^✗ this machine's clock is 4(19|20|21) s ${side} \S+'s, which may refuse assertions ` +
          "dated so far off → set the clock and keep it in sync by NTP: timedatectl set-ntp true$",
      ),
    );
    expect(lines["mint"]).toMatch(
      /^✗ the token endpoint refused: invalid_grant \(Invalid JWT: .* → set this machine's clock$/,
    );
    expect(lines["service"]).toBe("- not checked because mint failed");
    expect(marks).toBe("✓✓✓✓✓✗✗-");
    expect(code).toBe(1);
  });

  it("warns about a skew of one minute", async () => {
    google.endpoint.setClockOffset(60_000);
    const { code, lines } = await runDoctor(withKey(audience));
    expect(lines["clock"]).toMatch(
      /^! this machine's clock is (59|60|61) s behind \S+'s → set the clock/,
    );
    expect(code).toBe(0);
  });
});

describe("doctor on the token endpoint", () => {
  it("reports within the timeout that it hangs", async () => {
    google.endpoint.setFault({ kind: "hang" });
    const { code, lines } = await runDoctor(withKey(audience, "--timeout=300ms"));
    expect(lines["clock"]).toMatch(
      /^✗ \S+: no answer within 300 ms → allow it through the firewall; /,
    );
    expect(lines["mint"]).toBe(
      "✗ no answer within 300 ms → try again, with more time: --mint-timeout, or doctor's --timeout",
    );
    expect(code).toBe(1);
  });

  it("says how to list and create keys if it rejects a deleted one", async () => {
    const other = createServiceAccount({ tokenUri: google.endpoint.url });
    const path = `${folder.path}/other.json`;
    await other.writeTo(path);
    const { code, lines } = await runDoctor([`--credentials=${path}`, audience]);
    const iam = "gcloud iam service-accounts keys";
    expect(lines["mint"]).toBe(
      "✗ the token endpoint refused: invalid_grant (Invalid JWT Signature.) → check whether this key " +
        `still exists, ${iam} list --iam-account=${EMAIL}, and create a new one if not: ` +
        `${iam} create FILE --iam-account=${EMAIL}`,
    );
    expect(code).toBe(1);
  });

  it("never shows an assertion that it echoes", async () => {
    google.endpoint.setFault({ kind: "echo" });
    const { lines } = await runDoctor(withKey(audience));
    expect(lines["mint"]).toMatch(/^✗ the token endpoint refused: invalid_grant → check whether/);
  });

  it("rejects a huge answer and a captive portal's page", async () => {
    for (const kind of ["huge", "html"] as const) {
      google.endpoint.setFault({ kind });
      const { lines } = await runDoctor(withKey(audience));
      expect(lines["mint"]).toMatch(
        /^✗ the token endpoint.* → something else may be answering instead of the endpoint, such as a captive portal or a proxy$/,
      );
    }
  });
});

describe("doctor on the service", () => {
  it("explains a 401 for a wrong audience, with two ways to fix it", async () => {
    const { code, lines } = await runDoctor(withKey(audience, ...google.serviceFlags(HOST)));
    expect(lines["service"]).toBe(
      `✗ https://${HOST} answered 401: it does not accept the token for https://tunnel.example → ` +
        `use --audience https://${HOST}, or have the service accept this one as well: ` +
        "gcloud run services update hello --region europe-west1 " +
        "--add-custom-audiences=https://tunnel.example",
    );
    expect(code).toBe(1);
  });

  it("explains a 403 for a missing role, with the command that grants it", async () => {
    const { code, lines } = await runDoctor(withKey(...google.serviceFlags(GUARDED_HOST)));
    expect(lines["service"]).toBe(
      `✗ https://${GUARDED_HOST} answered 403: it accepts the token, but ${EMAIL} is not allowed to call it → ` +
        "grant roles/run.invoker and wait a minute or two: " +
        "gcloud run services add-iam-policy-binding guarded --region europe-west1 " +
        `--member=serviceAccount:${EMAIL} --role=roles/run.invoker`,
    );
    expect(code).toBe(1);
  });

  it("sends no token to a service with an untrusted certificate", async () => {
    const flags = google.serviceFlags(HOST).filter((flag) => !flag.startsWith("--service-ca"));
    const before = google.cloudRun.requests.length;
    const { code, lines } = await runDoctor(withKey(...flags));
    expect(lines["service"]).toBe(
      `✗ ${HOST}: its certificate is from stand-in for Google's CA, which is not trusted here → ` +
        "give the CA that issued it: --service-ca FILE",
    );
    expect(google.cloudRun.requests).toHaveLength(before);
    expect(code).toBe(1);
  });

  it("distinguishes an unreachable service from a missing CA file", async () => {
    const gone = await runDoctor(
      withKey(`--service-url=https://${HOST}`, "--connect-to=127.0.0.1:1"),
    );
    expect(gone.lines["service"]).toBe(
      "✗ 127.0.0.1:1: connection refused → check host, port and firewall",
    );
    const noCa = await runDoctor(
      withKey(`--service-url=https://${HOST}`, `--service-ca=${folder.path}/none.crt`),
    );
    expect(noCa.lines["service"]).toBe(
      `✗ ${folder.path}/none.crt: the CA cannot be read: there is no such file → check --service-ca`,
    );
  });
});

describe("doctor with wrong flags", () => {
  it("lists every error on standard error and exits with 2 before any check", async () => {
    const { code, stdout, stderr } = await runDoctor(["--timeout=1h", "--wrong"]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.trim().split("\n")).toEqual([
      "--wrong: unknown flag; --help lists the known ones",
      "--audience: must be given, or --service-url, whose URL is the default",
      expect.stringMatching(/^--timeout "1h": must be a time such as /),
    ]);
  });
});
