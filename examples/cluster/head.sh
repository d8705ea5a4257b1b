#!/usr/bin/env bash
# Two plain machines, the first one: starts Ray's head here, with a token, until Ctrl-C.
#   ./head.sh 10.0.0.1        # this machine's address, as the others see it
set -euo pipefail
address="${1:?the address of this machine, as the others see it}"
port="${2:-6379}"

export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")"
    (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")
fi

# --block keeps Ray in the foreground: Ctrl-C ends this one, where 'ray stop' would end every Ray of the host.
exec ray start --head --block --node-ip-address="$address" --port="$port" --include-dashboard=false
