#!/usr/bin/env bash
# Two plain machines, the others: adds this machine to the cluster whose head head.sh has started, until Ctrl-C.
#   scp 10.0.0.1:.ray/auth_token ~/.ray/auth_token      # the same token, once
#   ./node.sh 10.0.0.1
set -euo pipefail
address="${1:?the address of the head}"
port="${2:-6379}"

export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
[ -s "$RAY_AUTH_TOKEN_PATH" ] || { echo "copy the head's token to $RAY_AUTH_TOKEN_PATH first" >&2; exit 1; }

exec ray start --block --address="$address:$port"
