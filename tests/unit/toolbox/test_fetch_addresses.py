"""Which web addresses are read at all, which hosts an entry allows, and which addresses may be connected to."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from djed.errors import DjedError, RequestError, UnsafeError
from djed.toolbox.fetch import check, fetch, post
from djed.toolbox.pinned import allowed

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1"]
TRICKS = [
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "240.0.0.1",
]
NEVER = ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "168.63.129.16"]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert allowed(ip_address(address), private=False)


@pytest.mark.parametrize("address", PRIVATE + TRICKS + NEVER)
def test_no_other_address_is_allowed(address: str) -> None:
    assert not allowed(ip_address(address), private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_operator_may_allow_private_addresses(address: str) -> None:
    assert allowed(ip_address(address), private=True)


@pytest.mark.parametrize("address", NEVER)
def test_no_operator_allows_what_holds_credentials_or_is_many(address: str) -> None:
    assert not allowed(ip_address(address), private=True)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses by name; nothing else is known, and nothing is asked for."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port)) for item in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "http://",
        "http://[::1",
        "http://a b/",
        "http://a\r\nX: y/",
        "http://host:99999/",
        "http://höst.example/",
        "http:///etc/passwd",
        "http://%31.example/",
        "http://a..b/",
        "http://" + "a" * 2000,
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(DjedError) as caught:
        fetch(url, hosts=["*.example"], size=10, timeout=1)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://ok.example/",
        "gopher://ok.example/",
        "http://user:pass@ok.example/",
        "http://ok.example@evil.example/",
        "http://ok.example:22/",
        "http://evil.example/",
        "http://ok.example.evil.example/",
        "http://notok.example/",
    ],
)
def test_what_is_not_in_the_list_is_refused(url: str) -> None:
    with pytest.raises(UnsafeError):
        fetch(url, hosts=["ok.example"], size=10, timeout=1)


@pytest.mark.parametrize(
    ("entry", "url", "taken"),
    [
        ("ok.example", "https://OK.example./x", True),
        ("ok.example", "https://sub.ok.example/x", False),
        ("*.ok.example", "https://sub.ok.example/x", True),
        ("*.ok.example", "https://ok.example/x", False),
        ("*.ok.example", "https://notok.example/x", False),
        ("ok.example", "https://ok.example:8443/x", False),
        ("ok.example:8443", "https://ok.example:8443/x", True),
        ("ok.example:8443", "https://ok.example/x", False),
        ("*", "https://ok.example/x", False),
        ("ok.example:x", "https://ok.example/x", False),
    ],
)
def test_entries_allow_hosts_and_ports(
    answers: dict[str, list[str]], entry: str, url: str, taken: bool
) -> None:
    """Who is allowed is looked up, and not known here; who is not allowed is not even looked up."""
    with pytest.raises(
        RequestError if taken else UnsafeError, match="not known" if taken else "may be fetched"
    ):
        fetch(url, hosts=[entry], size=10, timeout=1)


def test_a_name_of_which_one_address_is_private_is_refused(answers: dict[str, list[str]]) -> None:
    answers["mixed.example"] = [PUBLIC[0], "10.0.0.1"]
    with pytest.raises(UnsafeError, match="private"):
        fetch("http://mixed.example/", hosts=["mixed.example"], size=10, timeout=1)


@pytest.mark.parametrize("port", [22, 25, 1])
def test_nothing_is_sent_to_the_port_of_another_protocol(port: int) -> None:
    with pytest.raises(UnsafeError, match="port"):
        post(f"http://hook.example:{port}/", b"{}", headers={}, timeout=1, private=True)


def test_a_recipient_can_be_checked_beforehand(answers: dict[str, list[str]]) -> None:
    answers |= {"good.example": [PUBLIC[0]], "bad.example": ["127.0.0.1"]}
    check("https://good.example/hook", timeout=1)
    check("https://bad.example/hook", timeout=1, private=True)
    with pytest.raises(UnsafeError, match="private"):
        check("https://bad.example/hook", timeout=1)
    with pytest.raises(RequestError, match="not known"):
        check("https://nowhere.example/hook", timeout=1)
