# DTMA, the agent of one toolbox. Built by scripts/build-images, which puts the static binary into the build context.
# Run it with the Docker socket, a volume for its state and the folder with its enrolment token, which it removes after its
# use:
#   docker run -d --name dtma --network host --restart unless-stopped \
#     -v /var/run/docker.sock:/var/run/docker.sock -v dtma-state:/var/lib/dtma -v /etc/dtma:/etc/dtma \
#     -e DTMA_LISTEN=0.0.0.0:30000 -e DTMA_TOOLBOX_ID=<uuid> \
#     -e DTMA_CONTROL_URL=https://<project>.supabase.co/functions/v1/heartbeat \
#     -e DTMA_ENROLMENT_TOKEN_FILE=/etc/dtma/enrolment toolbox/dtma:dev
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="DTMA" \
      org.opencontainers.image.description="Toolbox's agent: drives the Docker Engine of one machine" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY dtma /dtma
# Root, because the Docker socket it is given belongs to root and grants root anyway.
USER 0:0
VOLUME ["/var/lib/dtma"]
EXPOSE 30000
ENTRYPOINT ["/dtma"]
# Last, because it changes with every build.
ARG INPUTS_SHA256
LABEL io.toolbox.inputs_sha256="$INPUTS_SHA256"
