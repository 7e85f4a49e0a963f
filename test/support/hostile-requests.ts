import { connect } from "node:net";

/** An audience that a client may name. */
export const TEAM = "https://svc.team.run.app";

/** Attempts to name an audience: what they try, and their header lines. */
export const NAMED: readonly (readonly [string, string])[] = [
  ["another audience", "x-id-token-audience: https://evil.run.app"],
  ["in capitals", "X-ID-TOKEN-AUDIENCE: https://evil.run.app"],
  ["in a header with underscores", "x_id_token_audience: https://evil.run.app"],
  [
    "twice, a bad one last",
    `x-id-token-audience: ${TEAM}\nx-id-token-audience: https://evil.run.app`,
  ],
  [
    "twice, a bad one first",
    `x-id-token-audience: https://evil.run.app\nx-id-token-audience: ${TEAM}`,
  ],
  ["twice the same", `x-id-token-audience: ${TEAM}\nX-Id-Token-Audience: ${TEAM}`],
  ["an empty value", "x-id-token-audience:"],
  ["blanks", "x-id-token-audience:    "],
  ["a list", `x-id-token-audience: ${TEAM}, https://evil.run.app`],
  ["8 KiB", `x-id-token-audience: https://${"a".repeat(8192)}.team.run.app`],
  ["a tab inside", "x-id-token-audience: https://svc\t.team.run.app"],
  ["a control character", "x-id-token-audience: https://svc\u0001.team.run.app"],
  ["a NUL", "x-id-token-audience: https://svc\u0000.team.run.app"],
  ["a folded line", `x-id-token-audience: ${TEAM}\n https://evil.run.app`],
  [
    "a line break of its own",
    `x-id-token-audience: ${TEAM}\rx-id-token-audience: https://evil.run.app`,
  ],
  ["beyond ASCII", "x-id-token-audience: https://svć.team.run.app"],
  ["a path into the pattern", "x-id-token-audience: https://evil.com/.team.run.app"],
  ["user information", "x-id-token-audience: https://svc.team.run.app@evil.com"],
  ["the pattern itself", "x-id-token-audience: https://*.team.run.app"],
  ["another scheme", "x-id-token-audience: http://svc.team.run.app"],
  ["a trailing dot", "x-id-token-audience: https://svc.team.run.app."],
];

/** Attempts to name an audience by Host: what they try, and the request's first lines. */
export const HOSTS: readonly (readonly [string, string])[] = [
  ["another host", "GET / HTTP/1.1\nHost: evil.com"],
  ["absurd", "GET / HTTP/1.1\nHost: a:b:c"],
  ["IPv6", "GET / HTTP/1.1\nHost: [::1]:9090"],
  ["an address", "GET / HTTP/1.1\nHost: 127.0.0.1"],
  ["missing", "GET / HTTP/1.1"],
  ["missing in HTTP/1.0", "GET / HTTP/1.0"],
  ["empty", "GET / HTTP/1.1\nHost:"],
  ["two", "GET / HTTP/1.1\nHost: svc.team.run.app\nHost: evil.com"],
  ["with a trailing dot", "GET / HTTP/1.1\nHost: svc.team.run.app."],
  ["with user information", "GET / HTTP/1.1\nHost: svc.team.run.app@evil.com"],
  ["with a path", "GET / HTTP/1.1\nHost: evil.com/.team.run.app"],
  ["with a fragment", "GET / HTTP/1.1\nHost: evil.com#.team.run.app"],
  ["with a blank", "GET / HTTP/1.1\nHost: evil.com .team.run.app"],
  ["overridden by the URL", "GET http://evil.com/ HTTP/1.1\nHost: svc.team.run.app"],
  ["beside X-Forwarded-Host", "GET / HTTP/1.1\nHost: evil.com\nX-Forwarded-Host: svc.team.run.app"],
];

/** Sends a request unchanged and resolves with the whole answer. */
export async function send(port: number, head: string): Promise<string> {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  const lines = head.replaceAll("\n", "\r\n");
  socket.write(Buffer.from(`${lines}\r\nConnection: close\r\n\r\n`, "latin1"));
  let answer = "";
  for await (const chunk of socket) {
    answer += String(chunk);
    const [, length = "0", body] = /content-length: (\d+).*?\r\n\r\n(.*)$/s.exec(answer) ?? [];
    // Leaving the loop ends the connection; Envoy may wait another second to do so.
    if (body !== undefined && body.length >= Number(length)) break;
  }
  return answer;
}
