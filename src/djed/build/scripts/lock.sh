#!/bin/sh
# Usage: lock.sh UV PYTHON OUTPUTS ORIGINS [ARGUMENT...]
# Resolves pyproject.toml. Where ORIGINS is "origins", uv also says from which index each package came, which pylock.toml does not tell;
# that second answer comes from the cache that the first has filled.
set -eu
# A configuration file outranks our project; what the user configured comes as variables.
unset UV_CONFIG_FILE
uv=$1 python=$2 outputs=$3 origins=$4
shift 4
"$uv" pip compile --quiet --python "$python" "$@" \
    --format pylock.toml --output-file "$outputs/pylock.toml" pyproject.toml
[ "$origins" = origins ] || exit 0
exec "$uv" pip compile --quiet --offline --python "$python" "$@" \
    --no-header --no-annotate --emit-index-annotation --output-file "$outputs/origins.txt" pyproject.toml
