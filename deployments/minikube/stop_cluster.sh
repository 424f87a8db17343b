#!/bin/sh
# Stops the local Kubernetes cluster. Records, keyring and secrets are there at the next start;
# `stop_cluster.sh --delete` deletes the cluster with all of them.
set -eu

case "${1:-}" in
  '') minikube stop ;;
  --delete) minikube delete ;;
  *)
    echo "usage: $0 [--delete]" >&2
    exit 2
    ;;
esac
