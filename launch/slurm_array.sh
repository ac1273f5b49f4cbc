#!/bin/bash
#SBATCH --job-name=gpt-jax-sweep
#SBATCH --array=1-5
#SBATCH --nodes=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Makes an experiment's runs in five parts, one for each task of the array: sbatch launch/slurm_array.sh layer_norm --scale cpu
# Another number of parts: sbatch --array=1-20 launch/slurm_array.sh layer_norm --scale cpu
# Two minutes before the time is up, SLURM sends USR1 to this script. The runs then save and end, and the task goes back into
# the queue. Submit from the checkout. Nodes that share OUT make one sweep; else copy their folders together.
set -u
. .venv/bin/activate

stopped=0
trap 'stopped=1; kill -TERM "$runs"' USR1

python -m experiments run "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --out "${OUT:-$PWD/runs}" &
runs=$!
wait "$runs"
status=$?
if [ "$stopped" = 1 ]; then
  wait "$runs" # until the checkpoints are written
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  exit 0
fi
exit "$status"
