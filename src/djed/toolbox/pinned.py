"""Connections that go to the very address that was checked, and end by a given time.

A name is looked up once. All addresses that it has must be allowed, and one of those is connected to: no second look-up stands between the
check and the connection, in which the name could come to mean another machine. TLS still asks for, and verifies, the name.

Imported only where something is fetched: it needs ``httpcore2``, the part of ``httpx2`` that opens connections.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore2

from djed.errors import RequestError, UnsafeError

__all__ = ["Deadline", "Pinned", "allowed", "look_up"]

Address = IPv4Address | IPv6Address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""What IANA gives out to the world. Beyond it lie the mapped, compatible and translated (RFC 6052) forms of IPv4 addresses."""
_METADATA = ip_address("168.63.129.16")
"""A cloud's metadata service at an address that looks public; those of the others are link-local, private or shared."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time by which all must be over."""

    at: float
    """Monotonic time."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self, timeout: float | None = None) -> float:
        """Seconds that are left, at most ``timeout``. Raises ``httpcore2.TimeoutException`` where none are."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore2.TimeoutException
        return left if timeout is None else min(left, timeout)


def allowed(address: Address, *, private: bool) -> bool:
    """Whether an address may be connected to. Link-local addresses, where clouds keep credentials, never may, nor may groups."""
    if address.is_link_local or address.is_multicast or address.is_unspecified or address == _METADATA:
        return False
    if private:
        return True
    if isinstance(address, IPv6Address) and (
        address not in _GLOBAL_UNICAST or address.sixtofour is not None or address.teredo is not None
    ):
        return False
    return address.is_global


def look_up(host: str, port: int, *, private: bool, deadline: Deadline) -> list[Address]:
    """The addresses of a name, all of them checked. Raises ``RequestError`` where it has none, ``UnsafeError`` where one is not allowed."""
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error)

    # The system's resolver takes no time limit; what it says too late is not waited for.
    threading.Thread(target=resolve, name="djed-look-up", daemon=True).start()
    try:
        answer = found.get(timeout=deadline.left())
    except queue.Empty:
        raise RequestError(f"Nobody said in time where the host {host} is.") from None
    if isinstance(answer, Exception):
        raise RequestError(f"The host {host} is not known.") from answer
    addresses = [ip_address(entry[4][0]) for entry in answer]
    for address in addresses:
        if not allowed(address, private=private):
            raise UnsafeError(f"The host {host} has a private address, and to such nothing is sent.")
    return list(dict.fromkeys(addresses))


class _Stream(httpcore2.NetworkStream):
    """A stream whose every wait ends by the deadline."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Pinned(httpcore2.NetworkBackend):
    """Connects to names by :func:`look_up`, for one exchange."""

    def __init__(self, deadline: Deadline, *, private: bool) -> None:
        self._deadline = deadline
        self._private = private
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(  # noqa: PLR0917 - the interface is httpcore2's
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """The first of the addresses that answers."""
        addresses = look_up(host, port, private=self._private, deadline=self._deadline)
        last: Exception | None = None
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, self._deadline.left(timeout), local_address, socket_options
                )
            except httpcore2.ConnectError as error:
                last = error
            else:
                return _Stream(stream, self._deadline)
        raise last or httpcore2.ConnectError
