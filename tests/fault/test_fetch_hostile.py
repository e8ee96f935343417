"""Servers and name servers that mean harm to who fetches from them."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from djed.errors import RequestError, UnsafeError
from djed.toolbox.fetch import fetch, post

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answers: ClassVar[dict[str, Answer]] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients leave early here; that is the point."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        self.server.answers[self.path.partition("?")[0]](self)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def says(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def drips(*, headers: bool) -> Answer:
    """A byte every little while, for ever."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " if headers else b"\r\n"))
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.02)

    return answer


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        handler.wfile.write(b"x" * 65536)


def _serve(address: str, port: int = 0) -> Iterator[Server]:
    server = Server((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    Handler.seen.clear()
    Server.answers.clear()
    yield from _serve("127.0.0.1")


@pytest.fixture
def neighbour(server: Server) -> Iterator[Server]:
    """Another server at the same port of another address."""
    yield from _serve("127.0.0.2", server.server_port)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What a name server says of a name, call by call; the last answer stays."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> object:
        if host not in known:
            return real(host, port, *rest, **more)
        answer = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (item, port)) for item in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def get(server: Server, path: str, *, size: int = 1000, timeout: float = 10, private: bool = True) -> bytes:
    place = f"127.0.0.1:{server.server_port}"
    return fetch(f"http://{place}{path}", hosts=[place], size=size, timeout=timeout, private=private)


def test_what_lies_there_is_brought_and_nothing_of_ours_goes_along(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", os.devnull)
    server.answers["/a"] = says(b"print(1)\n", Set_Cookie="a=b")
    assert get(server, "/a?b=c") == get(server, "/a?b=c") == b"print(1)\n"
    path, headers = Handler.seen[1]
    assert path == "/a?b=c"
    assert headers.keys() == {"Host", "User-Agent", "Accept-Encoding"}


def test_a_private_address_is_not_even_connected_to(server: Server) -> None:
    with pytest.raises(UnsafeError, match="private"):
        get(server, "/a", private=False)
    assert not Handler.seen


def test_the_connection_goes_to_the_address_that_was_checked(
    server: Server, neighbour: Server, names: dict[str, list[list[str]]]
) -> None:
    """A name that means another machine at every look-up is looked up once."""
    names["rebound.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    server.answers["/a"] = lambda handler: says(handler.connection.getsockname()[0].encode())(handler)
    place = f"rebound.example:{server.server_port}"
    assert fetch(f"http://{place}/a", hosts=[place], size=100, timeout=10, private=True) == b"127.0.0.2"
    assert names["rebound.example"] == [["127.0.0.1"]]
    assert Handler.seen[0][1]["Host"] == place


def test_an_address_that_does_not_answer_gives_way_to_the_next(
    server: Server, names: dict[str, list[list[str]]]
) -> None:
    names["two.example"] = [["127.0.0.3", "127.0.0.1"]]
    server.answers["/a"] = says(b"here")
    place = f"two.example:{server.server_port}"
    assert fetch(f"http://{place}/a", hosts=[place], size=100, timeout=10, private=True) == b"here"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: Server, status: int) -> None:
    server.answers.update({"/a": says(b"", status, Location="b?c=d"), "/b": says(b"there")})
    assert get(server, "/a") == b"there"
    assert Handler.seen[1][0] == "/b?c=d"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "http and https"),
        ("http://other.example/", "other.example"),
        ("//other.example/", "other.example"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("http://user:pass@127.0.0.1/", "password"),
        ("gopher://127.0.0.1:25/_EHLO", "http and https"),
    ],
)
def test_a_redirect_leads_nowhere_that_the_first_address_might_not_name(
    server: Server, location: str, words: str
) -> None:
    server.answers["/a"] = says(b"", 302, Location=location)
    with pytest.raises(UnsafeError, match=words):
        get(server, "/a")


def test_a_redirect_to_an_allowed_name_at_a_private_address_is_refused(
    server: Server, names: dict[str, list[list[str]]]
) -> None:
    """The first look-up says a loopback address because that is where the test is; the second must be refused for what it says."""
    names["turned.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    place = f"turned.example:{server.server_port}"
    server.answers["/a"] = says(b"", 302, Location="/b")
    with pytest.raises(UnsafeError, match="private"):
        fetch(f"http://{place}/a", hosts=[place], size=100, timeout=10, private=True)


def test_redirects_end(server: Server) -> None:
    server.answers["/a"] = says(b"", 302, Location="/a")
    with pytest.raises(RequestError, match="redirects more than 5 times"):
        get(server, "/a")
    assert len(Handler.seen) == 6


def test_an_endless_body_is_cut(server: Server) -> None:
    server.answers["/a"] = endless
    with pytest.raises(RequestError, match="sends more than"):
        get(server, "/a")


@pytest.mark.parametrize("headers", [True, False])
def test_a_server_that_drips_is_left(server: Server, headers: bool) -> None:
    """Each byte comes in time, all of them never: only a limit on the whole ends it."""
    server.answers["/a"] = drips(headers=headers)
    with pytest.raises(RequestError, match="in time"):
        get(server, "/a", timeout=0.5, size=10**6)


def test_a_name_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    with pytest.raises(RequestError, match="in time"):
        fetch("http://slow.example/", hosts=["slow.example"], size=1, timeout=0.1)
    over.set()


def test_what_is_compressed_is_not_unpacked(server: Server) -> None:
    server.answers["/a"] = says(gzip.compress(b"0" * 10**7)[:900], Content_Encoding="gzip")
    with pytest.raises(RequestError, match="compressed"):
        get(server, "/a")


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_another_status_is_told(server: Server, status: int) -> None:
    server.answers["/a"] = says(b"", status)
    with pytest.raises(RequestError, match=f"status {status}"):
        get(server, "/a")


def test_nonsense_is_told(server: Server) -> None:
    server.answers["/a"] = lambda handler: (
        handler.connection.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n") or None
    )
    with pytest.raises(RequestError, match="cannot be asked"):
        get(server, "/a")


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RequestError, match="cannot be asked"):
        fetch(f"http://127.0.0.1:{port}/", hosts=[f"127.0.0.1:{port}"], size=1, timeout=5, private=True)


@pytest.fixture
def certified(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, with a certificate that is trusted for ``good.example``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "good.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("good.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form)
    both = tmp_path / "both.pem"
    both.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def test_the_certificate_must_be_for_the_name(certified: Server, names: dict[str, list[list[str]]]) -> None:
    names.update({"good.example": [["127.0.0.1"]], "evil.example": [["127.0.0.1"]]})
    certified.answers["/a"] = says(b"sealed")
    certified.answers["/down"] = says(b"", 302, Location=f"http://good.example:{certified.server_port}/a")
    port = certified.server_port
    hosts = [f"*.example:{port}"]
    assert fetch(f"https://good.example:{port}/a", hosts=hosts, size=9, timeout=9, private=True) == b"sealed"
    with pytest.raises(RequestError, match="cannot be asked"):
        fetch(f"https://evil.example:{port}/a", hosts=hosts, size=9, timeout=9, private=True)
    with pytest.raises(UnsafeError, match="https to http"):
        fetch(f"https://good.example:{port}/down", hosts=hosts, size=9, timeout=9, private=True)


def test_a_message_is_sent_and_only_the_status_of_the_answer_is_read(server: Server) -> None:
    server.answers.update({"/hook": endless, "/moved": says(b"", 302, Location="/hook")})
    address = f"http://127.0.0.1:{server.server_port}"
    assert post(f"{address}/hook", b"{}", headers={"X-A": "b"}, timeout=10, private=True) == 200
    assert post(f"{address}/moved", b"{}", headers={}, timeout=10, private=True) == 302
    assert Handler.seen[0][1]["X-A"] == "b"
    assert len(Handler.seen) == 2
    with pytest.raises(UnsafeError):
        post(f"{address}/hook", b"{}", headers={}, timeout=10)
