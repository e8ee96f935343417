"""Requirements of Python distributions, resolved among those that are installed."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from functools import cache

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from djed.model.contents import Contents, PythonPackage

__all__ = ["python_edges"]

_NAME = re.compile(r"[ \t]*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_MINOR = re.compile(r"/(?:python|pypy)(\d\.\d{1,2})/")
_VERSION = re.compile(r"(\d)\.(\d{1,2})")
# Machines as Debian and apk name them.
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "armhf": "armv7l", "ppc64el": "ppc64le"}
_MAX_LINE = 4096


def python_edges(contents: Contents) -> Iterator[tuple[str, str]]:
    """Normalized names of a distribution and one that it requires, where both are installed."""
    names = {canonicalize_name(package.name) for package in contents.python}
    environments = _Environments(contents)
    holds: dict[tuple[str, str], bool] = {}
    for package in contents.python:
        version = environments.version(package)
        own = canonicalize_name(package.name)
        for line in package.requires:
            found = _NAME.match(line)
            if found is None or (name := canonicalize_name(found[1])) not in names:
                continue
            marker = _marker(line)
            if marker:
                key = (version, marker)
                if key not in holds:
                    holds[key] = _holds(marker, environments.of(version))
                if not holds[key]:
                    continue
            yield own, name


def _marker(line: str) -> str:
    """What stands after the semicolon; in an address it needs a blank before it."""
    head, _, tail = line.partition(";")
    if " @ " in f"{head} " or "@" in head:
        _, _, tail = line.partition(" ;")
    return tail.strip()


def _holds(marker: str, environment: Mapping[str, str]) -> bool:
    """Whether a marker holds without extras; one that cannot be read does not."""
    if len(marker) > _MAX_LINE:
        return False
    try:
        return _parsed(marker).evaluate(dict(environment))
    except (ValueError, RecursionError):
        return False


@cache
def _parsed(marker: str) -> Marker:
    return Marker(marker)


class _Environments:
    """The marker variables of the Pythons that distributions belong to."""

    def __init__(self, contents: Contents) -> None:
        self._machine = _machine(contents)
        versions = [found.version for found in contents.interpreters if found.version]
        self._full = {match[0]: version for version in versions if (match := _VERSION.match(version))}
        # What belongs to no minor version (/usr/lib/python3/dist-packages) belongs to the system's Python.
        system = next(
            (
                found.version
                for found in contents.interpreters
                if found.path == "/usr/bin/python3" and found.version
            ),
            None,
        )
        self._default = system or (versions[0] if versions else platform.python_version())
        self._made: dict[str, Mapping[str, str]] = {}

    def version(self, package: PythonPackage) -> str:
        """The full version of the Python that a distribution is for: of its folder, else of the system."""
        minor = _MINOR.search(package.location + "/")
        return self._full.get(minor[1], minor[1] + ".0") if minor else self._default

    def of(self, version: str) -> Mapping[str, str]:
        """The variables for a version. What is looked into is for Linux, whatever we run on."""
        if version not in self._made:
            minor = _VERSION.match(version)
            self._made[version] = {
                "extra": "",
                "implementation_name": "cpython",
                "implementation_version": version,
                "os_name": "posix",
                "platform_machine": self._machine,
                "platform_python_implementation": "CPython",
                "platform_release": "",
                "platform_system": "Linux",
                "platform_version": "",
                "python_full_version": version,
                "python_version": minor[0] if minor else version,
                "sys_platform": "linux",
            }
        return self._made[version]


def _machine(contents: Contents) -> str:
    """As the image's configuration says, else as its native packages are for, else as this machine is."""
    named = contents.config.get("architecture") or next(
        (package.arch for package in contents.native if package.arch not in {None, "all", "noarch"}), None
    )
    return _MACHINES.get(str(named), str(named)) if named else platform.machine()
