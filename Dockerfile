# The image: one static binary, the certificate authorities, and nothing else. `scripts/prove-image` builds the same
# binary and runs it in an empty root without a container engine.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag keygate .
#   docker run --read-only --volume "$PWD/config:/etc/keygate:ro" --publish 8080:8080 keygate
#
# User 65532 must be able to read the files. Mount their folder, never a single file: an edit that renames would not
# arrive. In a container `listen.address` is 0.0.0.0:8080, or nobody outside of it is heard.

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# Shown in the build metric.
ARG REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    KEYGATE_REVISION="$REVISION" scripts/static-build /image/keygate
RUN install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d /state

FROM scratch
COPY --from=build /image /
# Key usage and revocations seen, where the config says `state: /var/lib/keygate`.
COPY --from=build --chown=65532:65532 /state /var/lib/keygate
# A number, so that Kubernetes can see without a user database that it is not root.
USER 65532:65532
# Relative names on the command line are those of the mounted folder.
WORKDIR /etc/keygate
VOLUME /var/lib/keygate
EXPOSE 8080 8081 8082
# Asks 127.0.0.1:8082; where `health.address` is another one, say `--address`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/keygate", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/keygate"]
CMD ["serve", "--config", "keygate.yaml"]
