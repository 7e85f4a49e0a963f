import { generateKeyPairSync } from "node:crypto";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A private key in PEM, as a person might give it in place of a file's path. */
export const PEM_KEY = privateKey.export({ format: "pem", type: "pkcs8" });
/** Its first line, by which it is recognized although it has no line break. */
export const PEM_KEY_HEADER = PEM_KEY.slice(0, PEM_KEY.indexOf("\n"));
