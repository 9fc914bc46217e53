# sidecar-init and the notices of what is linked into it: 11 MB, to copy into your images or to build them on.
#
#   make image        builds bin/sidecar-init, then this with the name sidecar-init
#
# It takes the binary that `make build` made, so that neither a compiler nor a network is needed; any static Linux binary
# at bin/sidecar-init will do. To compile inside Docker instead, see Dockerfile.source.
FROM scratch
COPY bin/sidecar-init THIRD_PARTY_NOTICES /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/sidecar-init"]
