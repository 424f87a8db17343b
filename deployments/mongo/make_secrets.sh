#!/bin/sh
# Makes what MongoDB and the back end share, once:
#
#   make_secrets.sh FOLDER MONGO_HOST:PORT
#
#   FOLDER/mongo/keyfile        by which the members of the replica set know each other
#   FOLDER/mongo/root-password  of MongoDB's administrator
#   FOLDER/mongo/be-password    of the back end's own user, who has one database
#   FOLDER/be/mongo-uri         the back end's connection string, with that password
#
# What is there already is kept: passwords that MongoDB knows must not change under it.
# MONGO_OWNER and BE_OWNER (USER:GROUP, by number) give the two folders away.
set -eu
umask 077

if [ $# -ne 2 ]; then
  echo "usage: $0 FOLDER MONGO_HOST:PORT" >&2
  exit 2
fi
folder=$1
address=$2

random_hex() {
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

random_base64() {
  head -c 756 /dev/urandom | base64 | tr -d '\n'
}

mongo_uri() {
  printf 'mongodb://enc-server-be:%s@%s/enc-server-ts?replicaSet=rs0\n' \
    "$(cat "$folder/mongo/be-password")" "$address"
}

# Aside first, so that a name is there with its whole content or not at all.
keep() {
  [ -s "$1" ] && return
  "$2" > "$1.new"
  mv "$1.new" "$1"
}

mkdir -p "$folder/mongo" "$folder/be"
keep "$folder/mongo/keyfile" random_base64
keep "$folder/mongo/root-password" random_hex
keep "$folder/mongo/be-password" random_hex
keep "$folder/be/mongo-uri" mongo_uri

[ -z "${MONGO_OWNER:-}" ] || chown -R "$MONGO_OWNER" "$folder/mongo"
[ -z "${BE_OWNER:-}" ] || chown -R "$BE_OWNER" "$folder/be"
