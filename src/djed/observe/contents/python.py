"""Python distributions that are installed: ``.dist-info`` and ``.egg-info``, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from djed.model.contents import PythonPackage
from djed.observe.contents.skipped import Skipped
from djed.toolbox.coremetadata import Headers, headers, licence, old_requirements
from djed.toolbox.rootview import Bounded, RootView, printable

__all__ = ["read_distributions"]

_MAX_METADATA = 8 * 2**20
_MAX_RECORD = 64 * 2**20
_MAX_INSTALLER = 1024
_MAX_PACKAGES = 100_000
_MAX_ALL = 512 * 2**20


def read_distributions(files: RootView, paths: Iterable[str], skipped: Skipped) -> tuple[PythonPackage, ...]:
    """The distributions at those paths, sorted by location and name; what has no metadata with a name is told in ``skipped``."""
    found: list[PythonPackage] = []
    bounded = Bounded(files, _MAX_ALL)
    for path in paths:
        if len(found) >= _MAX_PACKAGES:
            skipped.add(path, f"there are more than {_MAX_PACKAGES} Python packages")
            break
        try:
            package = _distribution(bounded, path)
        except OSError as error:
            skipped.add(path, f"its metadata cannot be read: {error.strerror}")
            continue
        if package is None:
            skipped.add(path, "its metadata has no name or no version")
        else:
            found.append(package)
    return tuple(sorted(found, key=lambda package: (package.location, package.name.lower(), package.version)))


def _distribution(files: Bounded, path: str) -> PythonPackage | None:
    """Raises ``OSError`` where there is no metadata that can be read."""
    if path.endswith(".dist-info"):
        fields = headers(files.read(f"{path}/METADATA", _MAX_METADATA))
        return _package(files, path, fields, record="RECORD", requires=tuple(fields.get("requires-dist", ())))
    try:
        fields = headers(files.read(f"{path}/PKG-INFO", _MAX_METADATA))
    except NotADirectoryError:
        # A single file, as distutils and Debian's older packages wrote it.
        fields = headers(files.read(path, _MAX_METADATA))
    requires = tuple(fields.get("requires-dist", ())) or tuple(
        old_requirements(_text(files, f"{path}/requires.txt", _MAX_METADATA))
    )
    return _package(files, path, fields, record="installed-files.txt", requires=requires)


def _package(
    files: Bounded, path: str, fields: Headers, *, record: str, requires: tuple[str, ...]
) -> PythonPackage | None:
    name, version = fields.get("name", [""])[0], fields.get("version", [""])[0]
    if not name or not version:
        return None
    return PythonPackage(
        name=name,
        version=version,
        location=printable(str(PurePosixPath(path).parent)),
        licence=licence(fields),
        requires=requires,
        requires_python=fields.get("requires-python", [None])[0],
        files=sum(1 for line in _data(files, f"{path}/{record}", _MAX_RECORD).splitlines() if line.strip()),
        installer=" ".join(_text(files, f"{path}/INSTALLER", _MAX_INSTALLER).split())[:100] or None,
    )


def _text(files: Bounded, path: str, most: int) -> str:
    return _data(files, path, most).decode(errors="replace")


def _data(files: Bounded, path: str, most: int) -> bytes:
    """Nothing where it cannot be read: not every installer leaves each of these files."""
    try:
        return files.read(path, most)
    except OSError:
        return b""
