#!/bin/sh
# Sees that this machine has the Debian packages that a command of the project needs.
#
#   tools/parts.sh require python3-venv    stops where one is missing and cannot be installed
#   tools/parts.sh want bubblewrap gcc     goes on without, and says what to install
#
# As root on Debian the missing ones are installed, with a line that says so.
set -eu
python=${PYTHON:-python3}

present() {
    case $1 in
        python3-venv) "$python" -c 'import ensurepip, venv' ;;
        python3-dev) "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' ;;
        bubblewrap) command -v bwrap ;;
        docker.io) command -v dockerd ;;
        squashfs-tools) command -v mksquashfs ;;
        slirp4netns | uidmap | fuse-overlayfs | netavark) dpkg -s "$1" ;;
        postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

need=$1
shift
missing=
for part in "$@"; do
    present "$part" || missing="$missing $part"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing with apt-get." >&2
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of package names
    if { apt-get -qq update && apt-get -qq install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
fi
if [ "$need" = require ]; then
    echo "This needs$missing: install that (Debian: apt-get install$missing) and call again." >&2
    exit 1
fi
echo "Goes on without$missing (Debian: apt-get install$missing); what needs it is left out or says so." >&2
