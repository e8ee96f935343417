"""What the server works out before it takes calls."""

from __future__ import annotations

import resource
import socket

import pytest

from djed.api import server

UNBOUND = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "room", "raised"),
    [
        (1024, 524_288, 20_000, 21_024),
        (1024, 4096, 3072, 4096),
        (1024, 1024, 512, None),
        (65_536, 65_536, 20_000, None),
        (1024, UNBOUND, 20_000, 21_024),
        (UNBOUND, UNBOUND, 20_000, None),
    ],
)
def test_room_for_connections_is_made_as_far_as_it_goes(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, room: int, raised: int | None
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: told.append(limits))
    assert server._make_room(20_000) == room
    assert told == ([] if raised is None else [(raised, hard)])


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.1", False), ("djed.example", False), ("localhost.example", False), ("", False)],
)  # fmt: skip
def test_a_loopback_address_is_known(host: str, is_one: bool) -> None:
    assert server._is_loopback(host) is is_one


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [
        (socket.AF_INET, "127.0.0.1", "http://127.0.0.1:"),
        (socket.AF_INET, "0.0.0.0", "http://127.0.0.1:"),
        (socket.AF_INET6, "::1", "http://[::1]:"),
        (socket.AF_INET6, "::", "http://[::1]:"),
    ],
)
def test_the_address_is_one_that_can_be_called(family: int, host: str, shown: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("no such addresses here")
        assert server._address(listener) == f"{shown}{listener.getsockname()[1]}"
