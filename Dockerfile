# Targets: `prod` (the default), which serves, and `test`, which runs the tests.
#
#   docker build -t enc-server-ts .
#   docker run --rm -p 127.0.0.1:8080:7777 -e ENC_SERVER_TS_ALLOW_OPEN=1 \
#     -v enc-server-ts:/data enc-server-ts
#
#   docker build -t enc-server-ts-test --target test .
#   docker run --rm enc-server-ts-test

FROM node:22-bookworm-slim AS base
WORKDIR /app

# What runs needs, and nothing else. No package brings a script that must run on installation.
FROM base AS deps
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-fund --no-audit

FROM base AS build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-fund --no-audit
COPY tsconfig.json ./
COPY bin ./bin
COPY lib ./lib
COPY test ./test
COPY bench ./bench
RUN npm run build

FROM build AS test
RUN apt-get update \
  && apt-get install --yes --no-install-recommends make shellcheck strace \
  && rm -rf /var/lib/apt/lists/*
COPY . ./
# The tests write next to the sources, and some of them need a user who is not root.
RUN chown -R node:node /app
USER node
CMD ["make", "tests"]

FROM base AS prod
LABEL org.opencontainers.image.title="enc-server-ts" \
  org.opencontainers.image.description="Seals every record under a key that only its caller has" \
  org.opencontainers.image.licenses="MIT"
# Loopback is the default host, and inside a container nobody could reach it. The front end alone
# is moved off it; without ENC_SERVER_TS_ALLOW_OPEN it then refuses to start, so that whoever runs
# the image says on purpose that it is open. The log is standard output: no file is written
# outside of /data.
ENV NODE_ENV=production \
  ENC_SERVER_TS_FESERVERCONFIGS_HOST=0.0.0.0 \
  ENC_SERVER_TS_FESERVERCONFIGS_DATADIR=/data \
  ENC_SERVER_TS_BESERVERCONFIGS_DATADIR=/data \
  ENC_SERVER_TS_LOG_DIR= \
  ENC_SERVER_TS_LOG_STDOUT=true
COPY LICENSE package.json ./
COPY config ./config
COPY proto ./proto
COPY web ./web
COPY deployments/docker/ping.js ./ping.js
COPY --from=deps /app/node_modules ./node_modules
COPY --from=build /app/dist/bin ./dist/bin
COPY --from=build /app/dist/lib ./dist/lib
# By number, so that Kubernetes can tell that it is not root.
RUN install --directory --owner=1000 --group=1000 --mode=0700 /data
USER 1000:1000
# Records and keyring. Without a name this volume goes when a container of --rm does.
VOLUME /data
EXPOSE 7777
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["node", "/app/ping.js"]
ENTRYPOINT ["node", "/app/dist/bin/enc-server.js"]
CMD ["up"]
