#!/usr/bin/env bash
# Train on several GPUs: tools/dist_train.sh CONFIG GPUS [arguments of train.py ...]
# Several machines: run it on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set. Without a GPU, GPUS is the number
# of processes.
set -euo pipefail

USAGE='usage: dist_train.sh CONFIG GPUS [arguments of train.py]'
CONFIG=${1:?$USAGE}
GPUS=${2:?$USAGE}
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    "$TOOLS/train.py" "$CONFIG" --launcher pytorch "${@:3}"
