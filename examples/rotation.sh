#!/bin/sh
# Rotates the keyring of the service whose data folder is $1 and whose back end is at $2, while
# records are stored and read at the front end $3.
set -eu
folder=$1 be=$2 fe=$3

fe-client store --server "$fe" --id before --record 'stored before' --key-out before.key
enc-server keys add --data-dir "$folder" --be "$be"
enc-server keys activate --data-dir "$folder" --be "$be"
fe-client store --server "$fe" --id within --record 'stored within' --key-out within.key
enc-server keys rewrap --data-dir "$folder" --be "$be"
enc-server keys retire --data-dir "$folder" --be "$be"
for id in before within; do
  fe-client retrieve --server "$fe" --id "$id" --key-file "$id.key"
  echo
done
