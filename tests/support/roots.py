"""A root in which there is a little of everything, written by hand, and what is made of it: no tool is needed."""

from __future__ import annotations

import platform
import tarfile
from pathlib import Path

from djed.toolbox.oci import Layout, docker_archive, import_image, oci_archive

__all__ = ["docker_file", "layout", "oci_file", "root", "tar_of", "venv"]

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: {bash}
Depends: libc6 (>= 2.36)

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Installed-Size: 100
"""


def root(folder: Path, *, bash: str = "5.2-1", six: str | None = "1.17.0", version: str = "12") -> Path:
    """A new folder with a root of a Debian in it."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text(
        f'ID=debian\nVERSION_ID="{version}"\nPRETTY_NAME="Debian {version}"\n'
    )
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "var/lib/dpkg/status").write_text(STATUS.format(bash=bash))
    if six is not None:
        distribution(folder / "usr/lib/python3/dist-packages", "six", six)
    return folder


def distribution(place: Path, name: str, version: str, *requires: str) -> None:
    """An installed distribution of one module."""
    info = place / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n"]
    lines += [f"Requires-Dist: {line}\n" for line in requires]
    (info / "METADATA").write_text("".join(lines))
    (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    (place / f"{name}.py").write_text("answer = 42\n")


def venv(folder: Path, **versions: str) -> Path:
    """A new folder with a virtual environment of these distributions in it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.2\n")
    for name, version in versions.items():
        distribution(folder / "lib/python3.11/site-packages", name, version)
    return folder


def tar_of(folder: Path, *, gzip: bool = False) -> Path:
    """A tar of a folder, beside it."""
    made = folder.with_suffix(".tar.gz" if gzip else ".tar")
    with tarfile.open(made, "w:gz" if gzip else "w") as file:
        file.add(folder, ".")
    return made


def layout(folder: Path) -> Path:
    """An OCI layout of a root, beside it."""
    made = folder.with_suffix(".oci")
    import_image(folder, "rootfs", made, arch=platform.machine())
    return made


def oci_file(layout: Path) -> Path:
    """The archive of a layout, beside it."""
    made = layout.with_suffix(".oci.tar")
    with made.open("wb") as file:
        oci_archive(layout, file)
    return made


def docker_file(layout: Path) -> Path:
    """What ``docker load`` would take, beside the layout."""
    made = layout.with_suffix(".docker.tar")
    with made.open("wb") as file:
        docker_archive(layout, Layout(layout).choose(platform.machine()), "app:1", file)
    return made
