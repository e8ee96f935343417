"""How a base is named, and what is said where it is not one."""

from __future__ import annotations

import pytest

from djed.model.base import hint_for, parse_base

DIGEST = "sha256:" + "0123456789abcdef" * 4

GOOD = {
    "host": ("host", ""),
    "debian": ("name", "debian"),
    "debian:12": ("name", "debian:12"),
    "registry.example/team/app": ("name", "registry.example/team/app"),
    "registry.example:5000/a/b_c/d-e:1.0_x": ("name", "registry.example:5000/a/b_c/d-e:1.0_x"),
    "localhost/mine:latest": ("name", "localhost/mine:latest"),
    "localhost:5000/mine": ("name", "localhost:5000/mine"),
    f"debian@{DIGEST}": ("name", f"debian@{DIGEST}"),
    f"debian:12@{DIGEST}": ("name", f"debian:12@{DIGEST}"),
    "oci:/data/layout": ("oci", "/data/layout"),
    "oci-archive:./a b:c.tar": ("oci-archive", "./a b:c.tar"),
    "docker-archive:x.tar": ("docker-archive", "x.tar"),
    "rootfs:/srv/root": ("rootfs", "/srv/root"),
}

BAD = {
    "": "Write host,",
    "docker://debian:12": "Write the name alone: debian:12;",
    "docker-daemon:debian:12": "Write the name alone: debian:12;",
    "containers-storage:localhost/x": "Write the name alone: localhost/x;",
    "https://registry.example/a": "Write the name alone: registry.example/a;",
    "/srv/root": "Say what the folder is: rootfs:FOLDER",
    "./layout": "Say what the folder is: rootfs:FOLDER",
    "./base.tar": "Say what the file is: rootfs:FILE",
    "/data/base.sif": "An Apptainer file cannot be a base",
    "Debian:12": "Names of images have no capital letters: debian:12",
    "debian:12 ": "Write host,",
    "debian:": "Write host,",
    "a//b": "Write host,",
    "debian@sha256:12": "Write host,",
    "-debian": "Write host,",
    "debian\n": "Write host,",
    "a" * 300: "Write host,",
    "oci:": "Write host,",
    "rootfs:a\0b": "Write host,",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_base_is_read(text: str) -> None:
    base = parse_base(text)
    assert (base.kind, base.name) == GOOD[text]
    assert base.local == (base.kind not in {"host", "name"})
    assert base.fixed == ("@" in text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_base_gets_a_hint(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_base(text)
    assert hint_for(text).startswith(BAD[text])
