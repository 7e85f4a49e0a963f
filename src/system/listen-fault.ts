import { formatAddress, type Address } from "./address.ts";
import { codeOf, StartError, systemReason } from "./errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is already in use",
  EADDRNOTAVAIL: "this machine does not have that address",
  ENOTFOUND: "the host name does not resolve",
};

/** Says why nothing can listen on an address: a reason in words, or the system's error. */
export function listenFault(address: Address, why: unknown): StartError {
  const reason = typeof why === "string" ? why : (REASONS[codeOf(why) ?? ""] ?? systemReason(why));
  return new StartError(`${formatAddress(address)}: cannot listen: ${reason}`, { cause: why });
}
