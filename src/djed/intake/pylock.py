"""pylock.toml (PEP 751, https://packaging.python.org/en/latest/specifications/pylock-toml/): a lock as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from djed.intake import tomlfile
from djed.intake.addresses import is_public_default
from djed.intake.faults import Complain, quote
from djed.intake.source import Fragment, Source

if TYPE_CHECKING:
    from packaging.pylock import Package, PackageSdist, PackageWheel

__all__ = ["parse"]


def parse(source: Source) -> Fragment:
    """The lock. Raises ``UnreadableError``."""
    from packaging.pylock import Pylock, PylockValidationError

    data, _ = tomlfile.parse(source.text)
    try:
        lock = Pylock.from_dict(data)
    except (PylockValidationError, RecursionError) as error:
        source.complain(f"this is not a lock of PEP 751: {error}")
        return {}
    if lock.extras or lock.dependency_groups:
        source.complain(
            "a lock with extras or dependency groups leaves a choice open",
            hint="Export it for one choice of them.",
        )
    indexes: dict[str, dict[str, Any]] = {}
    packages = [_package(package, indexes, source.complain) for package in lock.packages]
    return {
        "indexes": list(indexes.values()),
        "lock": {
            "origin": "given",
            "requires_python": str(lock.requires_python) if lock.requires_python else None,
            "packages": sorted(
                (package for package in packages if package), key=lambda package: str(package["name"])
            ),
        },
    }


def _package(
    package: Package, indexes: dict[str, dict[str, Any]], complain: Complain
) -> dict[str, Any] | None:
    for kind in ("vcs", "directory", "archive"):
        if getattr(package, kind) is not None:
            complain(
                f"{quote(package.name)} comes from a {kind}, not from an index",
                hint="Put the package on an index.",
            )
            return None
    if package.version is None:
        complain(f"{quote(package.name)} has no version")
        return None
    files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
    if any(file.url is None for file in files):
        complain(
            f"{quote(package.name)} has a file without an address",
            hint="Only files on an index are possible.",
        )
        return None
    return {
        "name": str(package.name),
        "version": str(package.version),
        "index": _index(package, indexes),
        "marker": str(package.marker) if package.marker else None,
        "wheels": [_file(wheel) for wheel in package.wheels or ()],
        "sdist": _file(package.sdist) if package.sdist else None,
    }


def _file(file: PackageWheel | PackageSdist) -> dict[str, Any]:
    return {
        "name": file.filename,
        "url": file.url,
        "hashes": dict(file.hashes),
        "size": file.size,
        "uploaded": file.upload_time.isoformat() if file.upload_time else None,
    }


def _index(package: Package, indexes: dict[str, dict[str, Any]]) -> str | None:
    """The name of the package's index, which the file knows by its address only."""
    url = package.index
    if url is None or is_public_default(url):
        return None
    index = indexes.setdefault(url, {"name": f"index-{len(indexes) + 1}", "url": url, "packages": []})
    index["packages"].append(str(package.name))
    return str(index["name"])
