import { expect, it } from "vitest";
import { API_AUDIENCE, API_HOST, startGateway } from "../support/gateway.ts";
import { startHttpService } from "../support/http-service.ts";

it.each(["gateway", "gateway-push"] as const)(
  "%s reaches a service by its tag URL, in any form, with a token for the service's own URL",
  async (config) => {
    await using container = await startHttpService({
      request: (_request, response) => response.end("hello"),
    });
    const tagged = { host: `canary---${API_HOST}`, audiences: [API_AUDIENCE], ...container };
    await using gateway = await startGateway({
      container,
      config,
      services: [tagged],
      envoyFlags: [`--service-url=https://${tagged.host.toUpperCase()}:443/`],
    });
    const answer = await fetch(gateway.url);
    expect(await answer.text()).toBe("hello");
    expect(gateway.google.cloudRun.refused()).toBe(0);
  },
);
