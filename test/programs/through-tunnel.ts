import { startTunnel, type Tunnel, type TunnelOptions } from "../support/tunnel.ts";

/** The two kinds of tunnels that the programs are run through. */
export const KINDS = {
  "a tunnel per connection": {},
  "tunnels shared by 20 connections, with a relay": {
    relay: true,
    clientFlags: ["--streams-per-tunnel=20"],
  },
} as const satisfies Readonly<Record<string, TunnelOptions>>;

export const KIND_NAMES = Object.keys(KINDS) as readonly (keyof typeof KINDS)[];

/** Starts a tunnel of that kind to a TCP server on this machine. */
export const startKind = (kind: keyof typeof KINDS, targetPort: number): Promise<Tunnel> =>
  startTunnel({ ...KINDS[kind], targetPort });
