import type { Credential } from "../credentials/credential.ts";
import { isExposed, type Config } from "../settings/serve.ts";
import { formatAddress, type Address } from "../system/address.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Where a server listens, and with which credential. */
interface Facts {
  readonly address: Address;
  readonly adminAddress: Address | undefined;
  readonly credential: Credential;
}

/** Logs that the server listens, and warns of what is open to too many or to nobody. */
export function announce(config: Config, facts: Facts, log: Logger): void {
  const { adminAddress, credential } = facts;
  const address = formatAddress(facts.address);
  log.info(
    {
      event: "listening",
      listen: address,
      adminListen: adminAddress && formatAddress(adminAddress),
      type: credential.type,
      principal: credential.principal,
      audiences: config.audiences,
    },
    "listening",
  );
  if (isExposed(config.listen) && config.shared?.tls.clientCa === undefined) {
    const condition = config.checkSecretFile === undefined ? "" : " and knows the check secret";
    log.warn(
      { event: "address_exposed", listen: address },
      `not a loopback address: anyone who can reach it${condition} gets tokens`,
    );
  }
  if (
    config.shared?.policy === undefined &&
    config.audiences.length + config.allowAudiences.length === 0
  ) {
    log.warn(
      { event: "no_audience" },
      "no audience is configured or allowed: every check is refused",
    );
  }
}
