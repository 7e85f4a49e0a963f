# Three images:
#   docker build -t idtoken-authz .                                       the auth server
#   docker build -t idtoken-authz-up --target up .                        the auth server and Envoy
#   docker build -t idtoken-authz-tunnel-server --target tunnel-server .  the tunnel server

FROM --platform=$BUILDPLATFORM docker.io/library/node:26.10.0-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY build.ts ./
COPY src src
RUN npm run build && chmod 755 dist/idtoken-authz.cjs


FROM docker.io/library/busybox:1.37.0-musl AS busybox

FROM docker.io/envoyproxy/envoy:distroless-v1.40.0 AS envoy


# Envoy for any TCP server beside it. Mount ca.crt, server.crt and server.key on /certs, or mount a
# folder with one of them each on /certs/ca, /certs/crt and /certs/key, to which symbolic links point.
# PORT, TARGET and, if there are any, RELAY and SESSION_TICKET_KEY are read at start.
FROM envoy AS tunnel-server
LABEL org.opencontainers.image.title="idtoken-authz tunnel server" \
      org.opencontainers.image.description="Envoy that takes mTLS tunnels out of POST streams and hands raw TCP on" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="docker.io/envoyproxy/envoy:distroless-v1.40.0"
COPY --from=busybox /bin/busybox /bin/busybox
COPY envoy/tunnel-server*.yaml /etc/envoy/
COPY deploy/tunnel-server/certs /certs
COPY --chmod=755 deploy/tunnel-server/start-tunnel-server /usr/local/bin/
USER 65532:65532
ENV PORT=8080 TARGET=127.0.0.1:7777
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["start-tunnel-server"]
CMD []


FROM gcr.io/distroless/nodejs26-debian13:nonroot AS program
COPY --from=build /build/dist/idtoken-authz.cjs /usr/local/bin/idtoken-authz
COPY --from=build /build/dist/idtoken-authz.cjs.LEGAL.txt /usr/share/doc/idtoken-authz/copyright
# 128 MB of heap are enough for the tokens of about 15,000 audiences.
ENV NODE_COMPILE_CACHE=/home/nonroot/compiled \
    NODE_OPTIONS="--max-old-space-size=128"

# Runs the program once to fill V8's compile cache.
FROM program AS compiled
RUN ["idtoken-authz", "serve", "--help"]


# Both programs, for `up`. A read-only root file system needs a tmpfs on /tmp, for the Unix sockets.
FROM program AS up
LABEL org.opencontainers.image.title="idtoken-authz with Envoy" \
      org.opencontainers.image.description="Gateways and tunnels to private Cloud Run services, with Google-signed ID tokens" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/nodejs26-debian13:nonroot"
COPY --from=envoy /usr/local/bin/envoy /usr/local/bin/envoy
COPY --from=compiled --chown=65532:65532 /home/nonroot/compiled /home/nonroot/compiled
# Health, for the check below, and metrics; no tokens.
ENV ADMIN_LISTEN=127.0.0.1:9902 \
    ENVOY_BIN=/usr/local/bin/envoy
USER 65532:65532
EXPOSE 9090 7777
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["idtoken-authz", "healthcheck"]
ENTRYPOINT ["idtoken-authz"]
CMD ["up", "--help"]


FROM program AS authz
LABEL org.opencontainers.image.title="idtoken-authz" \
      org.opencontainers.image.description="Envoy ext_authz server that puts Google-signed ID tokens on requests to private Cloud Run services" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/nodejs26-debian13:nonroot"
COPY --from=compiled --chown=65532:65532 /home/nonroot/compiled /home/nonroot/compiled
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["idtoken-authz", "healthcheck"]
ENTRYPOINT ["idtoken-authz"]
CMD ["serve"]
