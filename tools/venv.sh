#!/bin/sh
# Makes or renews a virtual environment with Djed, editable, and one of the locks: tools/venv.sh FOLDER dev|bench
#
# pip, which honours the machine's own settings, brings uv by hash; uv brings the rest by hash. Nothing is built in isolation,
# so nothing is installed that is not in the lock.
set -eu
folder=$1
lock=$2
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Djed needs Python 3.11 or newer, and $python is older: name another with PYTHON=…" >&2
    exit 1
fi
PYTHON=$python tools/parts.sh require python3-venv
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Making $folder with $("$python" --version)." >&2
    "$python" -m venv --clear "$folder"
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
# Not a sync: it would take away the pip that the next renewal needs.
# Compiled now: where PYTHONDONTWRITEBYTECODE is set, every start would compile all over again.
"$folder/bin/uv" pip install --quiet --compile-bytecode --python "$folder/bin/python" \
    --require-hashes --requirement "requirements/$lock.txt"
"$folder/bin/uv" pip install --quiet --python "$folder/bin/python" --no-deps --no-build-isolation --editable .
touch "$folder/$lock.stamp"
