"""A machine with Apptainer on it, for tests: Debian 12 has none, so a root of a newer Debian is made once, and commands are started in it.

It is entered by namespaces of its own (mounts, processes) and ``pivot_root``, for Apptainer refuses to work under ``chroot``, and commands
run as an ordinary user. Needs root on this machine, mmdebstrap, and a mirror once.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support.images import _kept, _locked

__all__ = ["Machine", "Said", "machine"]

_PACKAGES = ("apptainer", "squashfs-tools", "squashfuse", "fuse3", "uidmap", "mount")
_UNWANTED = ("doc", "man", "locale", "info")
_USER = 1000
_ENTER = """\
set -e
root=$1 here=$2 user=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
# Nodes of its own: those of this machine are not to be opened up for everybody.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mknod -m 666 "$root/dev/fuse" c 10 229
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=700,uid="$user",gid="$user" tmpfs "$root/home/user"
mkdir -p "$root$here"
mount --bind "$here" "$root$here"
cd "$root"
pivot_root . old
umount -l /old
cd "$here"
export HOME=/home/user PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a command left; Apptainer's own remarks are on stderr."""

    code: int
    out: str
    err: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A root to start commands in. Nobody changes it."""

    root: Path

    def argv(self, *argv: str, here: Path) -> list[str]:
        """How to run a command as an ordinary user. It starts in the folder ``here``, has that at its own path, and may write to it."""
        here.chmod(0o777)
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh"]
        return [*enter, str(self.root), str(here), str(_USER), *argv]

    def run(self, *argv: str, here: Path, check: bool = True, timeout: float = 90) -> Said:
        """Run a command as :meth:`argv` says; nothing that it starts outlives it."""
        done = subprocess.run(
            self.argv(*argv, here=here),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="replace")
        assert not check or done.returncode == 0, f"{argv}: {err[-2000:]}"
        return Said(code=done.returncode, out=out, err=err)

    def lend(self, folder: Path, *, here: Path) -> None:
        """Put a program ``apptainer`` into a folder that works in ``here`` alone."""
        words = " ".join(map(shlex.quote, self.argv("apptainer", here=here)))
        (folder / "apptainer").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / "apptainer").chmod(0o755)


@cache
def machine() -> Machine:
    """The machine, made where there is none yet."""
    key = hashlib.sha256(f"1 {' '.join(_PACKAGES)}".encode()).hexdigest()[:12]
    made = _kept() / f"apptainer-{key}"
    with _locked(made):
        if not made.exists():
            unfinished = made.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            _make(unfinished)
            unfinished.replace(made)
    return Machine(root=made)


def _make(root: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--format=dir", "--variant=apt", f"--include={','.join(_PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNWANTED]
    # It moves on daily, and a mirror may be a little behind.
    command += ['--aptopt=Acquire::Check-Valid-Until "false"', "sid", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, line in {
        "passwd": f"user:x:{_USER}:{_USER}::/home/user:/bin/sh",
        "group": f"user:x:{_USER}:",
        "hosts": "127.0.0.1 localhost",
        "resolv.conf": "",
        "localtime": "",
    }.items():  # Apptainer binds these over those of what it starts
        with (root / "etc" / name).open("a") as file:
            file.write(line + "\n" if line else "")
    for name in ("home/user", "old"):
        (root / name).mkdir(parents=True)
