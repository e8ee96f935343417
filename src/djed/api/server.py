"""The server process: its socket, its worker, and a stop that loses nothing."""

from __future__ import annotations

import errno
import ipaddress
import math
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import uvicorn

from djed.api.app import create_app
from djed.api.logging import configure
from djed.api.protocol import patient
from djed.errors import ConfigError
from djed.toolbox.systemd import notify

if TYPE_CHECKING:
    from djed.api.state import State
    from djed.config import Config
    from djed.service.engine import Engine

__all__ = ["serve"]

_IDLE = 30
"""Seconds for which a connection without a call is kept."""
_OWN_FILES = 1024
"""Files that the process needs beside its connections."""


def serve(engine: Engine, config: Config, *, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` is called with the address once calls are taken.

    Then no more calls are taken, those in progress are finished, and the worker hands its work back: running jobs go on and are
    adopted at the next start. Raises ``ConfigError`` where the address cannot be used, ``StoreError`` where the store failed the worker.
    """
    if config.serve_open and not _is_loopback(config.serve_host):
        raise ConfigError(
            f"Without tokens only this machine may call, but {config.serve_host} can be reached from others.",
            hint="Serve with tokens, or on --host 127.0.0.1.",
        )
    configure(config)
    listener = _listen(config)
    connections = _make_room(config.serve_connections)
    app = create_app(engine, config)
    settings = uvicorn.Config(
        app,
        loop="uvloop",
        http=patient(patience=config.serve_patience, connections=connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=4096,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=math.ceil(config.serve_stop),
    )
    server = _Server(settings, app.state.djed, ready=lambda: ready(_address(listener)))
    with engine.serving() if config.serve_work else nullcontext():
        server.run([listener])


class _Server(uvicorn.Server):
    """Tells when it begins and when it is about to end, and survives the signal that ends it."""

    def __init__(self, config: uvicorn.Config, state: State, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._state = state
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take calls from now on."""
        await super().startup(sockets)
        self._ready()
        notify("READY=1")

    async def on_tick(self, counter: int) -> bool:
        """Whether to end: also when the worker is broken, for a server that only looks at work must not be taken for a whole one."""
        return await super().on_tick(counter) or self._state.engine.works.broken is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more calls, end the streams, and wait for the rest."""
        notify("STOPPING=1")
        self._state.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not sent once more: the worker must still hand back its work."""
        if threading.current_thread() is not threading.main_thread():  # which alone can hear them
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(config: Config) -> socket.socket:
    """The socket. Raises ``ConfigError`` with the reason where there can be none."""
    host, port = config.serve_host, config.serve_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(
            f"{host!r} is not an address of this machine.", hint="Try 127.0.0.1 or ::1."
        ) from error
    listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} of {host} is in use.",
                hint="Choose another one; --port 0 takes any that is free.",
            ) from error
        raise ConfigError(f"The server cannot listen on {host}, port {port}: {error.strerror}.") from error
    return listener


def _address(listener: socket.socket) -> str:
    """``http://127.0.0.1:8570``; of a socket that hears all addresses, the one of this machine for itself."""
    host, port = listener.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not listened on)
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _make_room(connections: int) -> int:
    """Raise the soft limit of open files, which is often 1,024; how many of these connections there is room for then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OWN_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(connections, max(wanted - _OWN_FILES, wanted // 2))
