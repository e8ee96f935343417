"""Package URLs, the names by which other tools know a package (ECMA-427; types deb, rpm, apk and pypi)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from djed.model.contents import NativePackage, PythonPackage

__all__ = ["purl"]

# What an os-release without an ID stands for.
_VENDORS = {"deb": "debian", "rpm": "linux", "apk": "alpine"}


def purl(package: NativePackage | PythonPackage, os_release: Mapping[str, str]) -> str:
    """The package URL of what is installed: ``pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12``, ``pkg:pypi/flask@3.1.2``."""
    if isinstance(package, PythonPackage):
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        return f"pkg:pypi/{_quoted(name)}@{_quoted(package.version.lower())}"
    vendor = os_release.get("ID") or _VENDORS[package.kind]
    name, version = package.name, package.version
    qualifiers = {"arch": package.arch or ""}
    if package.kind == "rpm":
        epoch, colon, rest = version.partition(":")
        if colon:
            qualifiers["epoch"], version = epoch, rest
    else:
        name = name.lower()
    if os_release.get("VERSION_ID"):
        qualifiers["distro"] = f"{vendor}-{os_release['VERSION_ID']}"
    tail = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{package.kind}/{_quoted(vendor.lower())}/{_quoted(name)}@{_quoted(version)}" + (
        f"?{tail}" if tail else ""
    )


def _quoted(text: str) -> str:
    return quote(text, safe=":")
