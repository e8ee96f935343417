"""Outgoing HTTP that a request can steer, made safe.

Only http and https, only hosts that were allowed, only public addresses, and the connection goes to the address that was checked
(:mod:`djed.toolbox.pinned`). There are no proxies, cookies or credentials; of the environment only ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
have a say. Redirects are followed by hand, each checked like the first address. Bytes and time are bounded, and what is compressed is
not unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from djed import __version__
from djed.errors import RequestError, UnsafeError
from djed.model.quantity import format_size

if TYPE_CHECKING:
    from djed.toolbox.pinned import Deadline

__all__ = ["StatusError", "check", "fetch", "post"]

_REDIRECTS = 5
_LONGEST = 2000
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_ENTRY = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(:(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_USER_PORTS = 1024
"""The ports below it belong to other protocols, which must not be spoken to in the guise of HTTP."""


class StatusError(RequestError):
    """The host answered, but not with what was asked for."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        """The status of the answer."""


def fetch(url: str, *, hosts: Sequence[str], size: int, timeout: float, private: bool = False) -> bytes:
    """What lies at an address; at most ``size`` bytes, within ``timeout`` seconds, redirects included.

    ``hosts`` are those that are allowed: ``host``, ``*.domain`` (all below it), each with ``:port`` where it is not 80 or 443. ``private``
    allows private and loopback addresses. Raises ``RequestError`` where it cannot be had, ``UnsafeError`` where it must not.
    """
    from djed.toolbox.pinned import Deadline

    deadline = Deadline.after(timeout)
    place = _Place.read(url)
    for _ in range(_REDIRECTS + 1):
        if not place.is_among(hosts):
            raise UnsafeError(
                f"Nothing may be fetched from {place.authority}.",
                hint="The operator can allow hosts with the setting fetch.hosts.",
            )
        with _exchange("GET", place, deadline=deadline, private=private) as response:
            onward = _redirect(response)
            if onward is None:
                return _body(response, place, size)
        place = place.follow(onward)
    raise RequestError(f"{place.name} redirects more than {_REDIRECTS} times.")


def post(url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, private: bool = False) -> int:
    """Send something; the status of the answer, of which nothing else is read. No redirect is followed.

    Raises ``RequestError`` where nobody answers within ``timeout`` seconds, ``UnsafeError`` where nothing may be sent there.
    """
    from djed.toolbox.pinned import Deadline

    place, deadline = _recipient(url), Deadline.after(timeout)
    with _exchange(
        "POST", place, deadline=deadline, private=private, headers=headers, content=body
    ) as response:
        return int(response.status)


def check(url: str, *, timeout: float, private: bool = False) -> None:
    """Refuse an address to which :func:`post` would send nothing now. Raises ``RequestError``, ``UnsafeError``."""
    from djed.toolbox.pinned import Deadline, look_up

    place = _recipient(url)
    look_up(place.host, place.port, private=private, deadline=Deadline.after(timeout))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """A web address in its parts; nobody but this class reads one, so that all agree on what it says."""

    scheme: str
    host: str
    """In lower case, without a final dot; an IPv6 address without brackets."""
    port: int
    target: str
    """Path and query."""

    @classmethod
    def read(cls, url: str) -> _Place:
        """Raises ``RequestError`` for what is not an address of the web."""
        if len(url) > _LONGEST or not _CHARACTERS.fullmatch(url):
            raise RequestError("That is not a web address.")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise RequestError("That is not a web address.") from error
        if parts.scheme not in _DEFAULT_PORTS:
            raise UnsafeError("Only http and https addresses are used.")
        if "@" in parts.netloc:
            raise UnsafeError("A web address must not hold a name or password.")
        if not (_IPV6 if "[" in parts.netloc else _NAME).fullmatch(host):
            raise RequestError("That web address names no host.")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(
            scheme=parts.scheme,
            host=host.lower().rstrip("."),
            port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
            target=target,
        )

    @property
    def authority(self) -> str:
        """Host, and port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def name(self) -> str:
        """What messages call it: path and query may be a secret."""
        return f"The host {self.authority}"

    def is_among(self, hosts: Sequence[str]) -> bool:
        """Whether one of these entries allows it."""
        return any(self._fits(entry) for entry in hosts)

    def _fits(self, entry: str) -> bool:
        parts = _ENTRY.fullmatch(entry.lower())
        if parts is None:
            return False
        host, ports = parts["host"].strip("[]").rstrip("."), _DEFAULT_PORTS.values()
        here = self.host.endswith(host[1:]) if host.startswith("*.") else self.host == host
        return here and self.port in ([int(parts["port"])] if parts["port"] else ports)

    def follow(self, location: str) -> _Place:
        """Where a redirect leads. Raises ``UnsafeError`` where it would give up encryption."""
        onward = _Place.read(urljoin(f"{self.scheme}://{self.authority}{self.target}", location))
        if self.scheme == "https" and onward.scheme == "http":
            raise UnsafeError(f"{self.name} redirects from https to http.")
        return onward


def _recipient(url: str) -> _Place:
    """A place to which something may be sent."""
    place = _Place.read(url)
    if place.port < _USER_PORTS and place.port not in _DEFAULT_PORTS.values():
        raise UnsafeError(f"Nothing is sent to port {place.port}.", hint="Use 80, 443, or one from 1024 on.")
    return place


@contextmanager
def _exchange(
    method: str,
    place: _Place,
    *,
    deadline: Deadline,
    private: bool,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> Iterator[Any]:
    """One question and its answer, over a connection of its own. What goes wrong until it is left becomes a ``RequestError``."""
    import httpcore2

    from djed.toolbox.pinned import Pinned

    wanted = {
        "Host": place.authority,
        "User-Agent": f"djed/{__version__}",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    url = httpcore2.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
    backend = Pinned(deadline, private=private)
    try:
        with (
            httpcore2.ConnectionPool(network_backend=backend, max_keepalive_connections=0) as pool,
            pool.stream(method, url, headers=list(wanted.items()), content=content) as response,
        ):
            yield response
    except httpcore2.TimeoutException as error:
        raise RequestError(f"{place.name} did not answer in time.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        reason = str(error) or type(error).__name__
        raise RequestError(f"{place.name} cannot be asked: {reason[:200]}.") from error


def _header(response: Any, name: bytes) -> str:
    values = [value for key, value in response.headers if key.lower() == name]
    return bytes(values[0]).decode("latin-1") if values else ""


def _redirect(response: Any) -> str | None:
    if response.status not in {301, 302, 303, 307, 308}:
        return None
    return _header(response, b"location") or None


def _body(response: Any, place: _Place, size: int) -> bytes:
    if response.status != 200:
        raise StatusError(f"{place.name} answered with status {response.status}.", int(response.status))
    if _header(response, b"content-encoding").lower() not in {"", "identity"}:
        raise RequestError(f"{place.name} sent something compressed, which was not asked for.")
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > size:
            raise RequestError(f"{place.name} sends more than {format_size(size)}.")
    return bytes(body)
