#!/bin/bash
#SBATCH --job-name=gpt-jax
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
# Trains on GPUs with one process per GPU: sbatch launch/slurm.sh run lineage --scale paper --only gpt2 mesh.fsdp=32
# Two minutes before the time is up, SLURM sends USR1 to this script. The script sends TERM to the training processes, which
# write a checkpoint and end. The script then puts the job back into the queue, and the next start resumes the run.
# Submit from the checkout, on a file system that all nodes share.
set -u
. .venv/bin/activate
export GPT_JAX_CACHE="${GPT_JAX_CACHE:-$PWD/cache}" # shared, so that the text is prepared once

stopped=0
trap 'stopped=1; scancel --signal=TERM "$SLURM_JOB_ID"' USR1 # scancel signals the job's steps, not this script

srun python -m experiments "$1" "${@:2}" --hosts auto --out "${OUT:-$PWD/runs}" &
wait $!
status=$?
if [ "$stopped" = 1 ]; then
  wait # until the checkpoint is written
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$status"
