import { expect, it } from "vitest";
import { basicAuthorization } from "../../../src/credentials/client-authentication.ts";

it("a client's ID and secret become an HTTP Basic header", () => {
  // The example of RFC 7617, section 2.
  expect(basicAuthorization("Aladdin", "open sesame")).toEqual({
    authorization: "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
  });
});
