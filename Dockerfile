# The image: one static binary, the certificate authorities, and nothing else. `scripts/prove-image` builds the same
# binary and runs it in an empty root without a container engine.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag keygate .
#   docker run --read-only --volume "$PWD/config:/etc/keygate:ro" --publish 8080:8080 keygate
#
# The files are read by user 65532, and the folder is mounted, never a single file: an editor's rename would not arrive.

FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
# Shown by `--version` and in the build metric.
ARG REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    KEYGATE_REVISION="$REVISION" scripts/static-build /image/keygate
RUN install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d -o 65532 -g 65532 -m 700 /image/var/lib/keygate \
    && install -d -m 755 /image/etc/keygate

FROM scratch
COPY --from=build /image /
# A number, so that Kubernetes can see without a user database that it is not root.
USER 65532:65532
# Relative names on the command line are those of the mounted folder.
WORKDIR /etc/keygate
# Key usage and revocations seen, where the config says `state: /var/lib/keygate`.
VOLUME /var/lib/keygate
EXPOSE 8080 8081 8082
# Asks 127.0.0.1:8082; where `health.address` is another one, say `--address`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/keygate", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/keygate"]
CMD ["serve", "--config", "keygate.yaml"]
