"""What requires what, of what was found: the requirements as written, resolved to the packages that satisfy them.

A package is named ``deb/NAME``, ``rpm/NAME``, ``apk/NAME`` or ``pypi/NAME``, Python's by their normalized name; packages of one name (of
two architectures, or in two places) are one. What nothing that was found satisfies has no edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djed.model.contents import Contents, NativePackage, PythonPackage
from djed.observe.contents.native_edges import apk_edges, deb_edges, rpm_edges
from djed.observe.contents.python_edges import python_edges

__all__ = ["edges", "identity"]


def identity(package: NativePackage | PythonPackage) -> str:
    """The name of a package among the edges."""
    if isinstance(package, NativePackage):
        return f"{package.kind}/{package.name}"
    from packaging.utils import canonicalize_name

    return f"pypi/{canonicalize_name(package.name)}"


def edges(contents: Contents) -> Iterable[tuple[str, str]]:
    """Pairs of a package and one that it requires, sorted, each once; a package is never one that itself requires.

    Python: every ``Requires-Dist`` whose marker holds for the Python that the package belongs to, without extras. Debian: ``Depends``
    and ``Pre-Depends``; of alternatives the first that is there in a version that fits, by name, else by what provides it.
    RPM and apk: by what is provided, whatever its version.
    """
    found = {(f"pypi/{one}", f"pypi/{other}") for one, other in python_edges(contents)} | set(
        _native(contents.native)
    )
    return sorted(pair for pair in found if pair[0] != pair[1])


def _native(packages: Iterable[NativePackage]) -> Iterator[tuple[str, str]]:
    by_kind: dict[str, list[NativePackage]] = {}
    for package in packages:
        by_kind.setdefault(package.kind, []).append(package)
    for kind, resolve in (("deb", deb_edges), ("rpm", rpm_edges), ("apk", apk_edges)):
        for one, other in resolve(by_kind.get(kind, [])):
            yield f"{kind}/{one}", f"{kind}/{other}"
