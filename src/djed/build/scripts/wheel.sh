#!/bin/sh
# Usage: wheel.sh UV PYTHON OUTPUTS URL FILE ALGORITHM HEX LIMIT
# Fetches one source distribution, checks its hash, and builds its wheel.
set -eu
unset UV_CONFIG_FILE
uv=$1 python=$2 outputs=$3
shift 3
"$python" -I fetch.py "$@"
exec "$uv" build --wheel --no-sources --no-create-gitignore --python "$python" --out-dir "$outputs/wheel" "$2"
