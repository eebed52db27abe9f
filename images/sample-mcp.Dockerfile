# The sample MCP server. Built by scripts/build-images, which puts the static binary into the build context.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="Toolbox sample MCP server" \
      org.opencontainers.image.description="MCP over streamable HTTP (default) or stdio, for the demo and the tests" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY toolbox-sample-mcp /toolbox-sample-mcp
# Two tags differ in this value only, so that a test of an update can tell which one answers.
ARG SAMPLE_RELEASE
ENV SAMPLE_RELEASE=$SAMPLE_RELEASE
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/toolbox-sample-mcp"]
# Last, because it changes with every build.
ARG INPUTS_SHA256
LABEL io.toolbox.inputs_sha256="$INPUTS_SHA256"
