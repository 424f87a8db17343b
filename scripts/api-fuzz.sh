#!/bin/sh
# Runs schemathesis over /openapi.json against servers of its own: no 5xx, and no answer outside
# the document. Needs Python 3 and PyPI; installs into .venv-api-fuzz once.
# Usage: api-fuzz.sh [MAX_EXAMPLES]     ENC_API_FUZZ_SEED=N repeats a run
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

examples=${1:-100}
seed=${ENC_API_FUZZ_SEED:-$(date +%s)}
venv=$root/.venv-api-fuzz
dist=$root/${DIST:-dist}

if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet 'schemathesis>=4,<5'
fi

# Hypothesis leaves its notes where it runs.
work=$(mktemp -d)
cd "$work"
# There before the background shell has made it.
: >up.log
ENC_SERVER_TS_LOG_DIR='' node "$dist/bin/enc-server.js" up --store memory --data-dir "$work" \
  --fe-port 0 --be-port 0 >"$work/up.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  port=$(sed -n 's/^fe listening on [^ ]*:\([0-9]*\).*/\1/p' "$work/up.log")
  [ -n "$port" ] && break
  sleep 0.5
done
[ -n "$port" ] || { cat "$work/up.log" >&2; exit 1; }

echo "seed $seed, $examples examples an operation"
"$venv/bin/schemathesis" --config-file "$root/scripts/api-fuzz.toml" run "http://127.0.0.1:$port/openapi.json" \
  --max-examples "$examples" --seed "$seed" --workers 1 --no-color \
  --suppress-health-check all
