#!/bin/sh
# Usage: venv.sh UV PYTHON VENV PLATFORM [WHEEL...]
# Makes a virtual environment of the wheels that pylock.toml names; each WHEEL is a built one, found there as wheels/<file>.
set -eu
unset UV_CONFIG_FILE
uv=$1 python=$2 venv=$3 platform=$4
shift 4
"$uv" venv --quiet --relocatable --no-project --python "$python" "$venv"
if [ -e pylock.toml ]; then
    mkdir wheels
    for wheel do ln -s "$wheel" wheels/; done
    install() {
        "$uv" pip install --quiet --python "$venv/bin/python" ${platform:+--python-platform "$platform"} \
            --no-deps --no-build --requirements pylock.toml "$@"
    }
    # With all wheels in the cache, not to ask the index again whether they changed is ten times as fast; hashes are checked either way.
    install --offline 2>/dev/null || install
    # The base interpreter, without site: a .pth file of a package would run code.
    "$python" -I -S bytecode.py "$venv" "$UV_CACHE_DIR" || echo "warning: modules were not compiled" >&2
fi
