import { expect, it } from "vitest";
import { headersToRemove, TOKEN_HEADERS } from "../../../src/access/token-header.ts";

it.each([
  ["authorization", ["x-serverless-authorization", "proxy-authorization"]],
  ["x-serverless-authorization", ["proxy-authorization"]],
  ["proxy-authorization", ["x-serverless-authorization"]],
])(
  "beside a token in %s, %j are removed and the application's Authorization stays",
  (name, removed) => {
    expect(TOKEN_HEADERS).toContain(name);
    expect(headersToRemove(name)).toEqual(removed);
  },
);
