// Writes the configs of this folder from the parts in src/envoy/parts.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { envoyConfigNames, renderEnvoyTemplate } from "../src/envoy/configs.ts";

for (const name of envoyConfigNames) {
  writeFileSync(join(import.meta.dirname, `${name}.yaml`), renderEnvoyTemplate(name));
}
