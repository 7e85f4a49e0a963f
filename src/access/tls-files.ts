import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Clock } from "../system/clock.ts";
import { StartError } from "../system/errors.ts";
import { openFollowedFile, type FollowedFile } from "../system/followed-file.ts";
import { showPath } from "../system/show.ts";

/** Paths of PEM files. */
export interface TlsPaths {
  /** The server's certificate, and after it those of intermediate authorities. */
  readonly cert: string;
  readonly key: string;
  /** The authorities of clients' certificates; undefined if clients need none. */
  readonly clientCa: string | undefined;
}

export interface TlsEvents {
  /** Other certificates are in use from now on. */
  readonly tlsChanged: () => void;
  /** The files cannot be used; the certificates in use stay. */
  readonly tlsUnusable: (error: StartError) => void;
}

/** The certificates in use, which follow their files. */
export interface TlsFiles {
  readonly options: () => SecureContextOptions;
  /** When the server's certificate expires, in seconds since the epoch. */
  readonly expiresAtSeconds: () => number;
  /** Calls the listener after each change. */
  readonly onChange: (listener: () => void) => void;
  /** Reads the files again. Never rejects. */
  readonly reload: () => Promise<void>;
  readonly close: () => void;
}

/** A certificate and its key are written one after the other; both are there after this. */
const SETTLE_MS = 500;

/**
 * Reads the certificates and follows their files. Rejects with a StartError of one line that names
 * the files and shows nothing of the key.
 */
export async function openTlsFiles(
  paths: TlsPaths,
  clock: Clock,
  events: TlsEvents,
): Promise<TlsFiles> {
  const cert = await openFollowedFile(paths.cert, "the certificate", clock);
  const key = await openFollowedFile(paths.key, "the certificate's key", clock);
  const ca =
    paths.clientCa === undefined
      ? undefined
      : await openFollowedFile(paths.clientCa, "the clients' authorities", clock);
  const files = [cert, key, ...(ca === undefined ? [] : [ca])];
  const contents = new Map<FollowedFile, Buffer>(files.map((file) => [file, file.initial]));
  const listeners: (() => void)[] = [];
  let cancel = () => {};

  function parse(): SecureContextOptions {
    const options = {
      cert: contents.get(cert),
      key: contents.get(key),
      ...(ca && { ca: contents.get(ca) }),
    };
    verify(options, paths);
    return options;
  }

  let options = parse();
  const apply = () => {
    try {
      options = parse();
      for (const listener of listeners) listener();
      events.tlsChanged();
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      events.tlsUnusable(error);
    }
  };
  for (const file of files) {
    file.follow({
      changed: (content) => {
        contents.set(file, content);
        cancel();
        cancel = clock.schedule(SETTLE_MS, apply);
      },
      unreadable: events.tlsUnusable,
    });
  }

  return {
    options: () => options,
    expiresAtSeconds: () => Date.parse(certificateOf(options).validTo) / 1000,
    onChange: (listener) => void listeners.push(listener),
    reload: async () => void (await Promise.all(files.map((file) => file.look()))),
    close: () => {
      cancel();
      for (const file of files) file.close();
    },
  };
}

/** Throws a StartError unless the certificates and the key can be used together. */
function verify(options: SecureContextOptions, { cert, key, clientCa }: TlsPaths): void {
  verifyCertificates(options.cert as Buffer, showPath(cert));
  try {
    createSecureContext({ key: options.key, cert: options.cert });
  } catch (cause) {
    const message = `${showPath(key)}: it is not the key (PEM) of ${showPath(cert)}`;
    throw new StartError(message, { cause });
  }
  if (clientCa !== undefined) verifyCertificates(options.ca as Buffer, showPath(clientCa));
}

/** From the line that begins a certificate to the one that ends it, if that is there. */
const CERTIFICATE = /-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----(?:[^-]*-----END \1-----)?/g;

/** OpenSSL would ignore a broken certificate, and all that come after it. */
function verifyCertificates(pem: Buffer, path: string): void {
  const certificates = pem.toString("latin1").match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new StartError(`${path}: it has no certificate (PEM)`);
  for (const [index, certificate] of certificates.entries()) {
    try {
      void new X509Certificate(certificate).fingerprint256;
    } catch (cause) {
      const which = `certificate ${index + 1} of ${certificates.length}`;
      throw new StartError(`${path}: ${which} cannot be read`, { cause });
    }
  }
}

function certificateOf({ cert }: SecureContextOptions): X509Certificate {
  return new X509Certificate(cert as Buffer);
}
