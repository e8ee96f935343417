"""Assemblies and what their jobs leave, for tests that start nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from djed.build.interface import Assembly
from djed.model.artifact import Artifact, Content
from djed.model.hardware import Hardware, Interpreter, Node
from djed.model.job import Limits
from djed.model.lock import Lock, LockedFile, LockedPackage
from djed.model.request import Environment

__all__ = ["ASSEMBLY", "INTERPRETER", "NODE", "SOURCE", "install", "locked", "wheel_file"]

INTERPRETER = Interpreter(path="/opt/python/3.11/bin/python3.11", version="3.11.7", prefix="/opt/python/3.11")
NODE = Node(
    id="local/here",
    target="local",
    hardware=Hardware(arch="x86_64", libc="glibc2.36", os="debian", os_version="12", kernel="6.1.0"),
    interpreters=(INTERPRETER,),
)


def locked(
    name: str, version: str, *, tag: str | None = "py3-none-any", source: bool = False
) -> LockedPackage:
    """A locked package with one wheel, or with a source alone."""
    return LockedPackage(
        name=name,
        version=version,
        wheels=(wheel_file(name, version, tag),) if tag else (),
        sdist=_file(f"{name}-{version}.tar.gz") if source else None,
    )


def wheel_file(name: str, version: str, tag: str = "py3-none-any") -> LockedFile:
    """A wheel of an index."""
    return _file(f"{name.replace('-', '_')}-{version}-{tag}.whl")


def _file(name: str) -> LockedFile:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return LockedFile(name=name, url=f"https://files.example/{name}", hashes={"sha256": digest})


_LOCK = Lock(
    python="3.11.7",
    platform="linux-x86_64-glibc2.36",
    base="sha256:base",
    packages=(locked("app", "1.0"), locked("native", "2.0", tag=None, source=True)),
)
_WHEEL = Artifact(
    digest="sha256:" + "e" * 64,
    kind="wheel",
    path="wheel/" + "e" * 64,
    size=1,
    manifest="sha256:manifest",
    contents=(
        Content(
            name="native",
            version="2.0",
            built=True,
            hashes=("sha256:" + "d" * 64,),
            file="native-2.0-py3-none-any.whl",
        ),
    ),
)
ASSEMBLY = Assembly(
    environment=Environment(packages=("app", "native"), variables={"CFLAGS": "-O3"}),
    lock=_LOCK,
    interpreter=INTERPRETER,
    node=NODE,
    base="sha256:base",
    wheels={"native": _WHEEL},
    limits=Limits(cpu=1, timeout=60),
    sandbox="bwrap",
)
"""An environment of a wheel and of a package that was built from source."""
SOURCE = "native"
"""The package of :data:`ASSEMBLY` that is built."""


def install(venv: Path, *packages: tuple[str, str], metadata: str = "", python: str = "3.11") -> Path:
    """A folder that looks like a virtual environment with these packages installed; returns its site-packages."""
    site_packages = venv / f"lib/python{python}/site-packages"
    site_packages.mkdir(parents=True)
    (venv / "lib64").symlink_to("lib")
    (venv / "pyvenv.cfg").write_text("home = /opt/python/3.11/bin\n")
    for name, version in packages:
        folder = site_packages / f"{name}-{version}.dist-info"
        folder.mkdir()
        text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{metadata}\n"
        (folder / "METADATA").write_text(text)
    return site_packages
