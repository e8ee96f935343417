#!/bin/sh
# Usage: lock.sh UV PYTHON OUTPUTS ARGUMENT...
# Resolves pyproject.toml, then lets uv say from which index each package came: pylock.toml does not tell.
# The second answer comes from the cache that the first has filled.
set -eu
uv=$1 python=$2 outputs=$3
shift 3
"$uv" pip compile --quiet --python "$python" "$@" \
    --format pylock.toml --output-file "$outputs/pylock.toml" pyproject.toml
exec "$uv" pip compile --quiet --offline --python "$python" "$@" \
    --no-header --no-annotate --emit-index-annotation --output-file "$outputs/origins.txt" pyproject.toml
