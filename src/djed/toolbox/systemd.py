"""Telling systemd how a service is (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["notify"]


def notify(state: str) -> None:
    """Say ``READY=1`` or ``STOPPING=1`` where systemd listens; elsewhere do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # "@" stands for the zero byte with which an abstract address begins.
    place = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(place)
        sender.sendall(state.encode())
