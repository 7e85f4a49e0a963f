import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { EnvoyProcess } from "./envoy-process.ts";

/** The serial number of a certificate in a folder, in the form of Envoy's log and admin interface. */
export async function serialOf(folder: string, name: "ca" | "client" | "server"): Promise<string> {
  const { serialNumber } = new X509Certificate(await readFile(join(folder, `${name}.crt`)));
  return serialNumber.toLowerCase();
}

/** Resolves when an Envoy uses a certificate. Each iteration waits for an answer from Envoy. */
export async function inUse({ adminPort }: EnvoyProcess, serial: string): Promise<void> {
  const certs = async () => (await fetch(`http://127.0.0.1:${adminPort}/certs`)).text();
  while (!(await certs()).includes(serial)) continue;
}
