import { describe, expect, it } from "vitest";
import { parseUrl } from "../../../src/credentials/urls.ts";
import { UsageError } from "../../../src/system/errors.ts";

describe("a URL that receives bearer tokens", () => {
  it.each([
    "https://sts.googleapis.com/v1/token",
    "https://sts.mtls.googleapis.com/v1/token",
    "https://iamcredentials-psc.p.googleapis.com/",
    "http://127.0.0.1:8000/v1/token",
    "https://[::1]:8000/",
    "http://localhost/",
  ])("can be %s", (url) => {
    expect(parseUrl(url, "its token_url", "googleApi").href).toBe(url);
  });

  it.each([
    "http://sts.googleapis.com/v1/token",
    "https://googleapis.com.example/v1/token",
    "https://sts.evilgoogleapis.com/",
    "https://sts.googleapis.com.evil.example/",
    "https://sts.googleapis.com@evil.example/",
    "https://user:secret@sts.googleapis.com/",
    "https://evil.example/sts.googleapis.com",
    "https://evil.example#.googleapis.com",
    "http://169.254.169.254/",
    "ftp://127.0.0.1/",
    "nonsense",
    "",
    5,
    null,
  ])("cannot be %s", (url) => {
    expect(() => parseUrl(url, "its token_url", "googleApi")).toThrow(UsageError);
    expect(() => parseUrl(url, "its token_url", "googleApi")).toThrow(
      /^its token_url, .* must be https on a googleapis.com host, or a loopback host$/,
    );
    expect(() => parseUrl(url, "its token_url", "googleApi")).not.toThrow(/secret/);
  });
});

describe("a URL that issues subject tokens", () => {
  it.each([
    "https://token.actions.githubusercontent.com/abc",
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.170.2/role",
    "http://[fd00:ec2::254]/latest/meta-data",
    "http://[fe80::a9fe:a9fe]/",
    "http://localhost:40342/metadata/identity/oauth2/token",
  ])("can be %s", (url) => {
    expect(parseUrl(url, "its url", "identityProvider").href).toBe(url);
  });

  it.each([
    "http://token.example/",
    "http://169.253.169.254/",
    "http://10.0.0.1/",
    "http://metadata.example/",
    "http://169.254.169.254.example/",
    "http://[fd00::254]/",
    "file:///etc/passwd",
  ])("cannot be %s", (url) => {
    expect(() => parseUrl(url, "its url", "identityProvider")).toThrow(
      /must be https, or http to a loopback or link-local metadata address$/,
    );
  });
});
