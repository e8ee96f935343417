"""Where locked packages come from: each from its own index, and from no address inside that no index has."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from djed.build.base import INDEX_VARIABLES
from djed.build.base import build_error as error
from djed.errors import ToolError, UnsafeError
from djed.model.lock import LockedPackage
from djed.model.request import Environment, Index

__all__ = ["check_addresses", "with_origins"]

_PINNED = re.compile(r"([a-z0-9-]+)(?:\[[^\]]*\])?==\S+")
_ORIGIN = re.compile(r"\s+# from (\S+)")


def with_origins(
    packages: Sequence[LockedPackage], annotated: bytes, environment: Environment
) -> tuple[LockedPackage, ...]:
    """The packages with their indexes, from uv's annotated requirements (``--emit-index-annotation``).

    Raises ``BuildError`` where a package is not from the index that alone may serve it (dependency confusion), or from one that may not.
    """
    from packaging.utils import canonicalize_name

    origins = _read_origins(annotated)
    owners: dict[str, Index] = {
        canonicalize_name(name): index for index in environment.indexes for name in index.packages
    }
    names = {_plain(index.url): index.name for index in environment.indexes if index.packages}
    found = []
    for package in packages:
        url, owner = origins.get(package.name), owners.get(package.name)
        index = names.get(_plain(url)) if url is not None else None
        if url is None or index != (owner.name if owner else None):
            raise error(
                "lock",
                "refused",
                f"{package.name} {package.version} came from {_plain(url) if url else 'an unknown index'}, "
                f"not from {f'the index {owner.name!r}' if owner else 'the default index'} as the request wants it.",
                package=package.name,
            )
        found.append(dataclasses.replace(package, index=index))
    return tuple(found)


def check_addresses(
    packages: Sequence[LockedPackage], environment: Environment, settings: Mapping[str, str]
) -> None:
    """Refuse files at private addresses, but for hosts of the indexes themselves. Raises ``UnsafeError``."""
    indexes = [index.url for index in environment.indexes]
    for name in INDEX_VARIABLES & settings.keys():
        indexes += [word.rpartition("=")[2] if "=http" in word else word for word in settings[name].split()]
    hosts = {urlsplit(url).hostname for url in indexes}
    for package in packages:
        for file in (*package.wheels, *filter(None, [package.sdist])):
            host = urlsplit(file.url or "").hostname
            if host not in hosts and _is_private(host or ""):
                raise UnsafeError(
                    f"The lock takes {file.name} from the private address {host!r}, which is no index."
                )


def _read_origins(annotated: bytes) -> dict[str, str]:
    origins: dict[str, str] = {}
    current: str | None = None
    for line in annotated.decode(errors="replace").splitlines():
        if match := _PINNED.match(line):
            current = match[1]
        elif (match := _ORIGIN.fullmatch(line)) and (
            current is None or origins.setdefault(current, match[1]) != match[1]
        ):
            raise ToolError("The lock does not say clearly from which index its packages came.")
    return origins


def _plain(url: str) -> str:
    """The address without its user and its last slash."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host in {"", "localhost"} or host.endswith((".localhost", ".local", ".internal"))
