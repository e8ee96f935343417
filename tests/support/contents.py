"""Contents in which there is something of everything, for tests of what is written of them."""

from __future__ import annotations

from djed.model.contents import (
    Contents,
    FoundInterpreter,
    Layer,
    NativePackage,
    PythonFile,
    PythonPackage,
)

__all__ = ["DIGEST", "IMAGE", "MADE"]

DIGEST = "sha256:" + "ab" * 32
MADE = "2024-01-02T03:04:05Z"
IMAGE = Contents(
    target="registry.example/app:1",
    kind="image",
    digest=DIGEST,
    os_release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
    native=(
        NativePackage(
            kind="deb",
            name="bash",
            version="5.2.15-2+b13",
            arch="amd64",
            licence="GPL-3+",
            depends=("libc6 (>= 2.36)",),
        ),
        NativePackage(kind="deb", name="libc6", version="2.36-9", arch="amd64", source="glibc", size=12_000),
        NativePackage(kind="deb", name="libc6", version="2.36-9", arch="i386", source="glibc"),
        NativePackage(kind="deb", name="libstdc++6", version="12.2.0-14", arch="amd64", depends=("libc6",)),
    ),
    python=(
        PythonPackage(
            name="Flask",
            version="3.1.2",
            location="/opt/venv/lib",
            licence="BSD-3-Clause",
            requires=("Werkzeug>=3",),
        ),
        PythonPackage(name="six", version="1.17.0", location="/opt/venv/lib", licence="MIT"),
        PythonPackage(
            name="Werkzeug",
            version="3.1.3",
            location="/opt/venv/lib",
            licence="Do what\nyou like.",
            installer="uv",
        ),
        PythonPackage(name="six", version="1.17.0", location="/usr/lib/python3/dist-packages"),
    ),
    python_files=(PythonFile(path="/opt/app.py", sha256="cd" * 32),),
    interpreters=(
        FoundInterpreter(path="/usr/bin/python3", link="python3.11", version="3.11.2"),
        FoundInterpreter(path="/usr/bin/python3.11", version="3.11.2"),
    ),
    symbols={"/usr/lib/libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.36")},
    cuda={"/usr/local/cuda/version.json": "12.4.1"},
    layers=(Layer(digest="sha256:" + "01" * 32, size=12, created_by="/bin/sh -c #(nop) ADD file"),),
    size=12,
    config={"created": "2024-01-02T03:04:05.678901234Z"},
    skipped=("/var/lib/rpm/Packages: RPM databases in the format Berkeley DB are not read",),
)
