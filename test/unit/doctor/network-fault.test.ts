import { describe, expect, it } from "vitest";
import {
  describeNetworkFault,
  judgeCertificate,
  TimeoutError,
} from "../../../src/doctor/network-fault.ts";

type PeerSocket = Parameters<typeof judgeCertificate>[1];

describe("describeNetworkFault", () => {
  it.each([
    ["EHOSTUNREACH", "the host cannot be reached", /^check this machine's network; /],
    ["ECONNRESET", "the connection was closed", /^a firewall or a proxy may be closing it/],
    ["HPE_INVALID_CONSTANT", "it does not speak HTTP", /^check the port$/],
  ])("describes %s, with a remedy", (code, reason, remedy) => {
    const failure = describeNetworkFault("host:1", Object.assign(new Error("x"), { code }));
    expect(failure.message).toBe(`host:1: ${reason}`);
    expect(failure.remedy).toMatch(remedy);
    expect(failure.facts).toEqual({ code });
  });

  it("says that a Unix socket is not there, or not for this user", () => {
    const fault = (code: string) => describeNetworkFault("unix:/a.sock", { code }).message;
    expect(fault("ENOENT")).toBe("unix:/a.sock: there is no such socket");
    expect(fault("EACCES")).toBe("unix:/a.sock: permission to connect is denied");
  });

  it("names an unknown code, and the length of a timeout", () => {
    const unknown = describeNetworkFault(
      "host:1",
      Object.assign(new Error("x"), { code: "EWHAT" }),
    );
    expect(unknown).toMatchObject({ message: "host:1: EWHAT", remedy: undefined });
    expect(describeNetworkFault("host:1", new Error("x")).message).toBe("host:1: unknown failure");
    expect(describeNetworkFault("host:1", new TimeoutError(50)).message).toBe(
      "host:1: no answer within 50 ms",
    );
  });
});

describe("judgeCertificate", () => {
  it("shortens a long name in a certificate", () => {
    const socket = {
      authorizationError: "ERR_TLS_CERT_ALTNAME_INVALID",
      getPeerCertificate: () => ({ subjectaltname: "DNS:a, ".repeat(100) }),
    } as unknown as PeerSocket;
    const { message } = judgeCertificate("host", socket, "trust it");
    expect(message).toMatch(/^host: its certificate is for (DNS:a, ){14}DN…$/);
  });
});
