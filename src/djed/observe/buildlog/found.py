"""What a log has told to be installed, so far."""

from __future__ import annotations

import re

from djed.errors import TooLargeError
from djed.model.contents import Contents, NativeKind, NativePackage, PythonPackage

__all__ = ["MOST", "Found", "normal"]

MOST = 200_000
"""Packages, and names that wait to be told apart."""

_SEPARATORS = re.compile(r"[-_.]+")


def normal(name: str) -> str:
    """A name of a Python distribution by which it is found however it is written (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


class Found:
    """What is installed so far."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._native: dict[tuple[NativeKind, str, str | None], NativePackage] = {}
        self._python: dict[str, PythonPackage] = {}

    def native(self, package: NativePackage, *, beside: str | None = None) -> None:
        """It is installed now, in the place of another version of it; ``beside`` names those apart that may stand side by side."""
        self._native[package.kind, package.name, beside] = package
        self._check()

    def no_native(self, kind: NativeKind, name: str, *, beside: str | None = None) -> None:
        """It is installed no more."""
        self._native.pop((kind, name, beside), None)

    def python(self, installer: str, name: str, version: str) -> None:
        """A distribution is installed now, in the place of another version of it."""
        self._python[normal(name)] = PythonPackage(
            name=name, version=version, location="", installer=installer
        )
        self._check()

    def no_python(self, name: str) -> None:
        """A distribution is installed no more."""
        self._python.pop(normal(name), None)

    def contents(self) -> Contents:
        """All that is installed."""
        native = sorted(
            self._native.values(), key=lambda item: (item.kind, item.name, item.version, item.arch or "")
        )
        python = sorted(self._python.items())
        return Contents(
            target=self._target, kind="log", native=tuple(native), python=tuple(item for _, item in python)
        )

    def _check(self) -> None:
        if len(self._native) + len(self._python) > MOST:
            raise TooLargeError(f"{self._target} names more than {MOST:,} packages: that is no build log.")
