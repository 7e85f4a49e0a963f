/**
 * The least that mints a token and answers checks with it: an ES module with node:http and
 * node:crypto alone. Its arguments are a key file and an audience.
 */
export const FLOOR = String.raw`
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";

const [keyFile, audience] = process.argv.slice(2);
const key = JSON.parse(readFileSync(keyFile, "utf8"));
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function assertion() {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    iss: key.client_email,
    aud: "https://oauth2.googleapis.com/token",
    iat,
    exp: iat + 3600,
    target_audience: audience,
  };
  const signed = encode({ alg: "RS256", typ: "JWT" }) + "." + encode(claims);
  const signature = sign("sha256", Buffer.from(signed), createPrivateKey(key.private_key));
  return signed + "." + signature.toString("base64url");
}

const token = new Promise((resolve, reject) => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const outgoing = request(key.token_uri, { method: "POST", headers }, (response) => {
    let body = "";
    response.on("data", (chunk) => (body += chunk));
    response.on("end", () => resolve(JSON.parse(body).id_token));
  });
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  outgoing.on("error", reject).end(String(new URLSearchParams({ grant_type, assertion: assertion() })));
});

const server = createServer(async (_request, response) => {
  response.setHeader("authorization", "Bearer " + (await token)).end();
});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ listen: "127.0.0.1:" + server.address().port }));
});
`;
