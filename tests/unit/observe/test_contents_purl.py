"""Package URLs."""

from __future__ import annotations

import pytest

from djed.model.contents import NativeKind, NativePackage, PythonPackage
from djed.observe.contents import purl

DEBIAN = {"ID": "debian", "VERSION_ID": "12"}


@pytest.mark.parametrize(
    ("kind", "name", "version", "arch", "release", "url"),
    [
        ("deb", "libc6", "2.36-9+deb12u10", "amd64", DEBIAN, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"),
        ("deb", "Tar", "1:1.34~rc1", "all", {}, "pkg:deb/debian/tar@1:1.34~rc1?arch=all"),
        (
            "rpm", "NetworkManager", "1:1.40.0-1.fc37", "x86_64", {"ID": "fedora", "VERSION_ID": "37"},
            "pkg:rpm/fedora/NetworkManager@1.40.0-1.fc37?arch=x86_64&distro=fedora-37&epoch=1",
        ),
        ("rpm", "curl", "7.50.3-1.fc25", None, {"ID": "fedora"}, "pkg:rpm/fedora/curl@7.50.3-1.fc25"),
        ("apk", "musl", "1.2.5-r0", "x86_64", {"ID": "alpine"}, "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64"),
        ("deb", "a/b?c", "1#2", None, {"ID": "x y"}, "pkg:deb/x%20y/a%2Fb%3Fc@1%232"),
    ],
)  # fmt: skip
def test_native(
    kind: NativeKind, name: str, version: str, arch: str | None, release: dict[str, str], url: str
) -> None:
    assert purl(NativePackage(kind=kind, name=name, version=version, arch=arch), release) == url


@pytest.mark.parametrize(
    ("name", "version", "url"),
    [
        ("Flask", "3.1.2", "pkg:pypi/flask@3.1.2"),
        ("zope.interface", "1.0+Local", "pkg:pypi/zope-interface@1.0%2Blocal"),
        ("a__b-.c", "1!2", "pkg:pypi/a-b-c@1%212"),
    ],
)
def test_python(name: str, version: str, url: str) -> None:
    assert purl(PythonPackage(name=name, version=version, location="/x"), DEBIAN) == url
