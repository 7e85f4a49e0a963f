// Writes the configs of this folder from the parts in src/envoy/parts.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { envoyTemplates, renderEnvoyTemplate } from "../src/envoy/templates.ts";

for (const template of envoyTemplates) {
  const file = join(import.meta.dirname, `${template.file}.yaml`);
  writeFileSync(file, renderEnvoyTemplate(template));
}
