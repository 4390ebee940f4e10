#!/usr/bin/env bash
# Train under Slurm: [GPUS=8] tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py ...]
# GPUS_PER_NODE and CPUS_PER_TASK describe the machines; SRUN_ARGS is passed on to srun, PORT to the processes.
set -euo pipefail

USAGE='usage: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of train.py]'
PARTITION=${1:?$USAGE}
JOB_NAME=${2:?$USAGE}
CONFIG=${3:?$USAGE}
WORK_DIR=${4:?$USAGE}
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export MASTER_PORT=${PORT:-29500}
# shellcheck disable=SC2086 # SRUN_ARGS holds several arguments
exec srun --partition="$PARTITION" \
    --job-name="$JOB_NAME" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$TOOLS/train.py" "$CONFIG" --work-dir "$WORK_DIR" --launcher slurm "${@:5}"
