import type { Clock } from "../system/clock.ts";
import { fault, objectField, textField, type Fields } from "./fields.ts";
import type { Identity } from "./identity.ts";
import { impersonate, parseImpersonation, parseImpersonationUrl } from "./impersonation.ts";
import { parseUrl } from "./urls.ts";

/**
 * Parses an `impersonated_service_account` file, which `gcloud auth application-default login
 * --impersonate-service-account` writes; `parseSource` parses the credential inside it. Throws a
 * StartError.
 */
export function parseImpersonatedAccount(
  fields: Fields,
  parseSource: (source: Fields) => Identity,
  clock: Clock,
): Identity {
  const field = "service_account_impersonation_url";
  const name = `${fields.path}: its ${fields.prefix}${field}`;
  const url = parseUrl(textField(fields, field), name, "googleApi");
  const target = { ...parseImpersonationUrl(url, name), delegates: delegatesOf(fields) };
  const source = parseSource(objectField(fields, "source_credentials"));
  return { ...impersonate(source, target, clock), type: "impersonated_service_account" };
}

function delegatesOf(fields: Fields): readonly string[] {
  const value = fields.values["delegates"] ?? [];
  if (!Array.isArray(value) || !value.every((each) => typeof each === "string")) {
    throw fault(fields, `its ${fields.prefix}delegates is not a list of strings`);
  }
  try {
    // Addresses, or resource names of the API.
    const addresses = value.map((each) => each.replace(/^projects\/-\/serviceAccounts\//, ""));
    return addresses.map((each) => parseImpersonation(each).account);
  } catch {
    throw fault(fields, `its ${fields.prefix}delegates are not all service accounts' addresses`);
  }
}
