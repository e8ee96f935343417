"""Web addresses in requests: only http and https, nobody's password, and no way into the private network.

Nothing is looked up: a name that resolves to a private address is caught where the connection is made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from djed.intake.faults import WrongValueError, quote

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = ["check_download", "check_index", "is_public_default"]

_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,2000}")
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")
# inet_aton reads 127.1, 0x7f000001 and 2130706433 as addresses too, and so do most clients; no public name ends in a number.
_TUNNELS = ("2002::/16", "64:ff9b::/96")
"""IPv6 ways to IPv4 addresses, private ones too: 6to4 (RFC 3056) and NAT64 (RFC 6052)."""
_NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")


def check_index(url: str, *, allow_private: bool) -> None:
    """Refuse what is not the address of a package index. Raises ``WrongValueError``."""
    _check(url, ("http", "https"), allow_private)


def check_download(url: str, *, allow_private: bool) -> None:
    """Refuse what is not the address of a file: https only, unless private addresses are allowed. Raises ``WrongValueError``."""
    _check(url, ("http", "https") if allow_private else ("https",), allow_private)


def is_public_default(url: str) -> bool:
    """Whether this is the public Python package index, which is what uv takes where nothing else is said (its mirror, where one is set)."""
    try:
        host = _split(url).hostname or ""
    except WrongValueError:
        return False
    return host.split(".")[0] == "pypi" and host.count(".") == 1


def _check(url: str, schemes: tuple[str, ...], allow_private: bool) -> None:
    if not _CHARACTERS.fullmatch(url):
        raise WrongValueError(f"{quote(url)} is not a web address")
    parts = _split(url)
    if parts.scheme not in schemes:
        wanted = " or ".join(schemes)
        raise WrongValueError(
            f"{quote(url)} is not an {wanted} address"
            if parts.scheme
            else f"{quote(url)} is not a web address"
        )
    if parts.username is not None or parts.password is not None:
        raise WrongValueError(
            "the address holds a name or password",
            hint="Credentials belong into the settings of uv on this machine.",
        )
    if not parts.hostname:
        raise WrongValueError(f"{quote(url)} names no host")
    if not allow_private and _is_private(parts.hostname):
        raise WrongValueError(
            f"{quote(parts.hostname)} is a private address",
            hint="The operator can allow private indexes with the setting indexes.allow_private.",
        )


def _split(url: str) -> SplitResult:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port  # computed, and checked, on access
    except ValueError as error:
        raise WrongValueError(f"{quote(url)} is not a web address") from error
    return parts


def _is_private(host: str) -> bool:
    name = host.rstrip(".").lower()
    if any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        return True
    if ":" not in name and not _NUMERIC.fullmatch(name):
        return False
    import ipaddress

    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        # An address in a spelling that only some clients understand has no honest use.
        return True
    return (
        not address.is_global
        or address.is_multicast
        or any(address in network for network in map(ipaddress.ip_network, _TUNNELS))
    )
