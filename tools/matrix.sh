#!/bin/sh
# Runs the unit suite on each other CPython that Djed supports and that is found here.
set -eu
own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

find_python() {
    .venv/bin/uv python find --quiet --no-project --system "$1" 2>/dev/null && return
    for candidate in "$HOME/.pyenv/versions/$1".*/bin/python3; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

for version in 3.11 3.13; do
    [ "$version" != "$own" ] || continue
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "No CPython $version on this machine: the unit suite ran on $own alone."
        continue
    fi
    folder=.make/python-$version
    if [ ! "$folder/dev.stamp" -nt requirements/dev.txt ] || [ ! "$folder/dev.stamp" -nt pyproject.toml ]; then
        PYTHON=$python tools/venv.sh "$folder" dev
    fi
    echo "The unit suite on CPython $version:"
    "$folder/bin/python" -m pytest -q -n auto tests/unit
done
