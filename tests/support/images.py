"""Roots and images for tests: a real Debian made once a machine, and a tiny root of this machine's own shell, made in a blink."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import djed.toolbox
from djed.toolbox.oci import import_image

__all__ = ["debian_root", "layout_of", "tiny_root"]

_PROGRAMS = (
    "sh",
    "cat",
    "ls",
    "mkdir",
    "rm",
    "cp",
    "ln",
    "touch",
    "id",
    "env",
    "sleep",
    "uname",
    "stat",
    "head",
)
_FOLDERS = ("bin", "lib", "lib64", "sbin")


def debian_root(
    include: Sequence[str] = ("python3-minimal", "ca-certificates"), *, suite: str = "bookworm"
) -> Path:
    """A tar of a minimal Debian with these packages. Needs the part ``mmdebstrap`` and a mirror, once a machine; nobody changes it."""
    names = sorted(include)
    key = hashlib.sha256(f"1 {suite} {' '.join(names)}".encode()).hexdigest()[:12]
    made = _kept() / f"{suite}-{key}.tar"
    with _locked(made):
        if not made.exists():
            unfinished = made.with_suffix(".new.tar")
            unfinished.unlink(missing_ok=True)
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(names)}"]
            command += [suite, str(unfinished)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            unfinished.replace(made)
    return made


def layout_of(tar: Path) -> Path:
    """An OCI layout of a root's tar, with one layer; that of ``debian_root`` is made once for each version of the code that makes it.

    It lies beside the tar. Nobody changes it.
    """
    made = tar.with_name(f"{tar.stem}-{_version()}.oci")
    with _locked(made):
        if not made.exists():
            unfinished = made.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            import_image(tar, "rootfs", unfinished, arch=platform.machine())
            unfinished.replace(made)
            for old in made.parent.glob(f"{tar.stem}-*.oci"):
                if time.time() - old.stat().st_mtime > 86400:  # nobody tests with it any more
                    shutil.rmtree(old, ignore_errors=True)
    return made


def tiny_root(folder: Path, programs: Sequence[str] = _PROGRAMS) -> Path:
    """Fill a new folder with a root that can run these programs of this machine, and nothing else. Returns it."""
    for name in _FOLDERS:
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp"):
        (folder / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (folder / name).chmod(0o1777)
    (folder / "etc/os-release").write_text('ID=tiny\nVERSION_ID="1"\nPRETTY_NAME="Tiny 1"\n')
    (folder / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
    )
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for name in programs:
        found = shutil.which(name, path="/usr/bin:/bin")
        assert found is not None, f"there is no {name} on this machine"
        shutil.copy(found, folder / "usr/bin" / name)
        for library in _libraries(found):
            place = folder / (library if library.startswith("/usr/") else f"/usr{library}").lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, place)
    return folder


@cache
def _libraries(program: str) -> tuple[str, ...]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    words = (word for line in listed.splitlines() for word in line.split())
    return tuple(word for word in words if word.startswith("/"))


def _kept() -> Path:
    folder = Path.home() / ".cache/djed-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@cache
def _version() -> str:
    found = hashlib.sha256()
    toolbox = Path(djed.toolbox.__path__[0])
    for pattern in ("oci/*.py", "layers.py", "tar_*.py"):
        for source in sorted(toolbox.glob(pattern)):
            found.update(source.read_bytes())
    return found.hexdigest()[:12]


@contextmanager
def _locked(made: Path) -> Iterator[None]:
    """One worker makes it, the others wait."""
    descriptor = os.open(made.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
