#!/bin/sh
# Rotates the keyring, while records are stored and read.
# Usage: rotation.sh [DATA_FOLDER [BACK_END [FRONT_END]]]; left out, those of `make start`.
set -eu
folder=${1:-${XDG_STATE_HOME:-$HOME/.local/state}/enc-server-ts}
be=${2:-localhost:8888} fe=${3:-localhost:7777}
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

store() {
  npx --no enc-server-ts fe-client store --server "$fe" --id "$1" --record "$2" --key-out "$keys/$1"
}
rotate() {
  npx --no enc-server-ts keys "$1" --data-dir "$folder" --be "$be"
}

store before 'stored before'
rotate add
rotate activate
store within 'stored within'
rotate rewrap
rotate retire
for id in before within; do
  npx --no enc-server-ts fe-client retrieve --server "$fe" --id "$id" --key-file "$keys/$id"
  echo
done
