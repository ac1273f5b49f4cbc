#!/bin/bash
# Trains on a TPU pod slice, with one process per host. Fill in the names, or give them in the environment.
#   launch/tpu_pod.sh gcloud run lineage --scale paper --only gpt2 mesh.fsdp=16
#   launch/tpu_pod.sh xpk    run lineage --scale paper --only gpt2 mesh.fsdp=16
# Run the same command again after an interruption: the run resumes from its last checkpoint.
# --out and GPT_JAX_CACHE must be on a disk that all hosts mount at SHARED (Filestore or gcsfuse, for example).
set -euo pipefail
NAME="${NAME:-gpt-jax}" ZONE="${ZONE:-us-west4-a}" TYPE="${TYPE:-v5litepod-16}" SHARED="${SHARED:-/mnt/shared}"
how="$1"
shift
train="GPT_JAX_CACHE=$SHARED/gpt_jax_cache python3 -m experiments $(printf '%q ' "$@") --hosts auto --out $SHARED/runs"

case "$how" in
  gcloud) # creates the slice unless it is there, and starts the command on every host
    # VERSION is the runtime image for TYPE; its Python must be 3.11 or newer.
    tpu=(gcloud compute tpus tpu-vm)
    "${tpu[@]}" describe "$NAME" --zone="$ZONE" >/dev/null 2>&1 ||
      "${tpu[@]}" create "$NAME" --zone="$ZONE" --accelerator-type="$TYPE" --version="${VERSION:?the runtime image}"
    "${tpu[@]}" ssh "$NAME" --zone="$ZONE" --worker=all --command="
      set -e
      [ -d gpt-jax ] || git clone -q https://github.com/gpt-jax/gpt-jax
      cd gpt-jax && python3 -m venv .venv && . .venv/bin/activate && pip install -q -e '.[tpu]'
      $train"
    ;;
  xpk) # needs a GKE cluster that xpk made (xpk cluster create) and the image of launch/Dockerfile.tpu in a registry
    xpk workload create --cluster "${CLUSTER:?the GKE cluster}" --zone="$ZONE" --workload "$NAME" --tpu-type="$TYPE" \
      --num-slices=1 --docker-image="${IMAGE:?the image}" --command="$train"
    ;;
  *)
    echo "first argument: '$how' is not allowed: gcloud, xpk" >&2
    exit 2
    ;;
esac
