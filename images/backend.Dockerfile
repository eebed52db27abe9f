# The server of the control plane. Built by scripts/build-images, which puts the static binary into the build context.
# docs/OPERATIONS.md says how it is run. Never on a toolbox.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="Toolbox backend" \
      org.opencontainers.image.description="Makes the tool environments of agents, and goes on with toolboxes under way" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY toolbox-backend /toolbox-backend
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=5s --retries=3 CMD ["/toolbox-backend", "health"]
ENTRYPOINT ["/toolbox-backend"]
# Last, because it changes with every build.
ARG INPUTS_SHA256
LABEL io.toolbox.inputs_sha256="$INPUTS_SHA256"
