#!/bin/sh
# Runs test files on each release of Node that the project promises; the releases come from npm,
# into a cache of their own. Prints a line for each, and what failed; the rest is in the logs.
# Usage: tests-all-nodes.sh FILE...     NODES="20.19 22 24" chooses the releases
set -eu
nodes=${NODES:-20.19 22 24}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/enc-server-ts/node
logs=$(mktemp -d)
failed=0

for release in $nodes; do
  place=$cache/$release
  if [ ! -x "$place/node_modules/node/bin/node" ]; then
    mkdir -p "$place"
    npm install --silent --no-fund --no-audit --no-save --prefix "$place" "node@$release"
  fi
  bin=$place/node_modules/node/bin
  log=$logs/node-$release.log
  version=$("$bin/node" --version)
  # Some tests start `node` by its name.
  if PATH=$bin:$PATH "$bin/node" --test --test-concurrency=2 --test-timeout=180000 \
    --test-reporter=spec "$@" >"$log" 2>&1; then
    outcome=passed
  else
    outcome=FAILED
    failed=1
    sed -n '/failing tests:/,$p' "$log" | head -n 80
  fi
  counts=$(sed -n -E 's/^[^a-z]*(tests|pass|fail|skipped) ([0-9]+)$/\1 \2/p' "$log" | tr '\n' ' ')
  echo "Node $version $outcome: $counts($log)"
done
exit "$failed"
