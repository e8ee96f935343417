"""The client before servers that are slow, broken, hostile, or not what they say they are."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from djed.client import Client
from djed.client.connection import Call
from djed.client.follow import Sign, Stream
from djed.errors import ServerError

TOKEN = "djed_0123456789abcdef_hush"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

Serve = Callable[..., "Bad"]


class Bad:
    """A server that reads the head of a call and answers with bytes, whatever was asked."""

    def __init__(self, *parts: bytes, hangs: bool = False, context: ssl.SSLContext | None = None) -> None:
        self.parts = parts
        self.hangs = hangs
        self.context = context
        self.heads: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            with suppress(OSError), raw:
                self._answer(self.context.wrap_socket(raw, server_side=True) if self.context else raw)

    def _answer(self, call: socket.socket) -> None:
        with call:
            call.settimeout(5)
            head = b""
            # A greeting in TLS (its first byte is 22) has no end that we would know.
            while b"\r\n\r\n" not in head and head[:1] != b"\x16" and (part := call.recv(65536)):
                head += part
            self.heads.append(head)
            for part in self.parts:
                call.sendall(part)
            if self.hangs:
                self.closing.wait(5)

    def close(self) -> None:
        self.closing.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


@pytest.fixture
def serve() -> Iterator[Serve]:
    opened: list[Bad] = []

    def begin(*parts: bytes, hangs: bool = False, context: ssl.SSLContext | None = None) -> Bad:
        opened.append(Bad(*parts, hangs=hangs, context=context))
        return opened[-1]

    yield begin
    for bad in opened:
        bad.close()


def asked(bad: Bad, *, scheme: str = "http", timeout: float = 5.0) -> str:
    """The sentence of the error that a call ends with."""
    with Client(f"{scheme}://127.0.0.1:{bad.port}", TOKEN, timeout=timeout) as client:
        client._connection._pause = lambda seconds: None
        with pytest.raises(ServerError) as caught:
            client.nodes()
    assert "hush" not in f"{caught.value.message}{caught.value.hint}"
    return caught.value.message


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((b"",), "it broke off"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), "it broke off"),
        ((HEAD + b"content-length: 100\r\n\r\n{",), "it broke off"),
        ((HEAD + b"content-length: 1000000000000\r\n\r\n{",), "it broke off"),
        ((HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",), "it broke off"),
        ((HEAD + b"x: " + b"y" * 10**6 + b"\r\n\r\n",), "it broke off"),
        ((HEAD + b"content-length: 2\r\n\r\n\xff\xfe",), "cannot be read"),
        ((HEAD + b"content-length: 4\r\n\r\nnull",), "cannot be read"),
        ((HEAD + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",), "cannot be read"),
        ((b"HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n",), "is not where the server is"),
        ((b"HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n",), "with status 500"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_sentence(serve: Serve, parts: tuple[bytes, ...], sentence: str) -> None:
    assert sentence in asked(serve(*parts))


def test_silence_ends(serve: Serve) -> None:
    assert "did not answer within" in asked(serve(hangs=True), timeout=0.1)


def test_silence_in_the_middle_ends(serve: Serve) -> None:
    bad = serve(HEAD + b"content-length: 100\r\n\r\n{", hangs=True)
    assert "did not answer within" in asked(bad, timeout=0.1)


def test_a_bomb_is_left_before_it_is_large(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.client.connection._MOST", 2**20)
    bomb = gzip.compress(bytes(64 * 2**20))
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    assert "answered with more than 1 MiB" in asked(serve(head + bomb))


def test_the_token_goes_to_one_host_only(serve: Serve) -> None:
    other = serve(HEAD + b"content-length: 2\r\n\r\n{}")
    target = f"http://127.0.0.1:{other.port}/v1/nodes".encode()
    first = serve(b"HTTP/1.1 307 x\r\nlocation: " + target + b"\r\ncontent-length: 0\r\n\r\n")
    assert "is not where the server is" in asked(first)
    assert (len(first.heads), other.heads) == (1, [])


def test_a_stream_without_an_end_of_line_is_left(serve: Serve) -> None:
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: " + b"x" * (2**20 + 1)
    with (
        Client(f"http://127.0.0.1:{serve(stream).port}", TOKEN) as client,
        Stream(client._connection, "/v1/stream", params={}) as following,
    ):
        assert following.next(5) is Sign.OPENED
        with pytest.raises(ServerError, match="more than 1048576 bytes"):
            following.next(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Serve, context: ssl.SSLContext) -> None:
    bad = serve(HEAD + b"content-length: 2\r\n\r\n{}", context=context)
    assert asked(bad, scheme="https") == f"The certificate of https://127.0.0.1:{bad.port} is not trusted."
    assert bad.heads == []


def test_an_authority_can_be_named(
    serve: Serve, context: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    good = serve(HEAD + b"content-length: 12\r\n\r\n" + b'{"items":[]}', context=context)
    with Client(f"https://127.0.0.1:{good.port}", TOKEN) as client:
        assert client.nodes() == ()


def test_a_server_that_speaks_no_tls_is_a_sentence(serve: Serve) -> None:
    assert "cannot be reached" in asked(serve(b"HTTP/1.1 400 Bad Request\r\n\r\n"), scheme="https")


def test_a_call_that_may_not_be_repeated_is_sent_once(serve: Serve) -> None:
    bad = serve(b"")
    with (
        Client(f"http://127.0.0.1:{bad.port}", TOKEN) as client,
        pytest.raises(ServerError, match="broke off"),
    ):
        client._connection.send(Call(method="POST", path="/v1/inspections/abc/retry"))
    assert len(bad.heads) == 1
