#!/bin/sh
# Starts a local Kubernetes cluster with MongoDB, the back end and the front end, and waits until
# all are ready. Started again, it brings what runs up to date; records, keyring and secrets stay.
set -eu
cd "$(dirname "$0")/../.."

IMAGE=enc-server-ts:latest
DB_ADDRESS=enc-server-ts-db-0.enc-server-ts-db:27017

kubectl() {
  minikube kubectl -- "$@"
}

# Made once: MongoDB keeps the passwords of its first start, and new ones would not open it.
make_secrets() {
  if kubectl get secret enc-server-ts > /dev/null 2>&1; then return; fi
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  deployments/mongo/make_secrets.sh "$folder" "$DB_ADDRESS"
  kubectl create secret generic enc-server-ts --from-file="$folder/mongo" --from-file="$folder/be"
}

apply() {
  kubectl apply -f "deployments/minikube/$1.yaml"
}

# Calico, because the network plugin that is the default ignores network policies.
minikube start --cni=calico
minikube image build --tag "$IMAGE" .

make_secrets
kubectl create configmap enc-server-ts-db-init --dry-run=client --output=yaml \
  --from-file=deployments/mongo/init-mongo.js | kubectl apply -f -

apply enc-server-ts-db
kubectl rollout status --timeout=10m statefulset/enc-server-ts-db
apply enc-server-ts-be
apply enc-server-ts-fe
# The same tag can mean a newer image.
kubectl rollout restart deployment/enc-server-ts-be deployment/enc-server-ts-fe
kubectl rollout status --timeout=5m deployment/enc-server-ts-be
kubectl rollout status --timeout=5m deployment/enc-server-ts-fe
