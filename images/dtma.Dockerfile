# DTMA, the agent of one toolbox. Built by scripts/build-images, which puts the static binary into the build context.
# docs/DEPLOY.md says how it is run.
FROM scratch
# First, because engines without BuildKit forget for which platform they build with the first other instruction.
COPY dtma /dtma
ARG VERSION
LABEL org.opencontainers.image.title="DTMA" \
      org.opencontainers.image.description="Toolbox's agent: drives the Docker Engine of one machine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
# Root, because the Docker socket it is given belongs to root and grants root anyway.
USER 0:0
VOLUME ["/var/lib/dtma"]
EXPOSE 30000
ENTRYPOINT ["/dtma"]
# Last, because it changes with every build.
ARG INPUTS_SHA256
LABEL io.toolbox.inputs_sha256="$INPUTS_SHA256"
