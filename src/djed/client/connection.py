"""HTTP to one server: with the token, within bounds, tried again where that is safe, and every failure one sentence."""

from __future__ import annotations

import json
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
from httpx2 import codes

from djed import __version__
from djed.client.problems import PROBLEM, problem
from djed.errors import ConfigError, DjedError, NotFoundError, RateError, ServerError
from djed.model.quantity import format_duration, format_size

__all__ = ["TIMEOUT", "Answer", "Call", "Connection", "place"]

TIMEOUT = 30.0
"""Seconds for an answer to begin, and between two parts of it."""
_CONNECT = 10.0
_PAUSES = (0.25, 0.75, 1.5)
_LONGEST = 30.0
"""Seconds of ``Retry-After`` that are waited for; what takes longer is told at once."""
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_SAFE = frozenset({"GET", "HEAD", "PUT"})
_MOST = 256 * 2**20
_PROBLEM = 2**20
"""Bytes of an answer, and of one that is not good."""

Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of the API."""

    method: str
    path: str
    params: Params = field(default_factory=dict)
    """``None`` and empty values are left out."""
    body: Any = None
    """Sent as JSON; bytes as they are."""
    key: str | None = None
    """An idempotency key; with one the call may be repeated."""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    """Seconds for which the server may think about it, beyond what any answer takes."""

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice does no more than doing it once."""
        return self.method in _SAFE or self.key is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A good answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def place(*parts: str) -> str:
    """``/v1/…`` of these parts, each a whole segment. Raises ``NotFoundError`` for one that would lead elsewhere."""
    for part in parts:
        if part in {"", ".", ".."}:
            what = parts[0].removesuffix("s")
            hint = "See them with: djed list" if what == "inspection" else None
            raise NotFoundError(f"There is no {what} {part!r}.", hint=hint)
    return "/".join(("/v1", *(quote(part, safe=":", errors="replace") for part in parts)))


class Connection:
    """A pool of connections to a server; safe for threads. ``transport`` takes the place of the network in tests."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._pause = pause
        self._timeout = timeout
        self._away = False
        """All tries of a call failed to reach the server, and none has reached it since."""
        headers = {"User-Agent": f"djed/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {_checked(token)}"
        address = _address(url)
        try:
            self._http = httpx2.Client(
                base_url=address, headers=headers, timeout=self._limits(0.0), transport=transport
            )
        except (OSError, ValueError, httpx2.InvalidURL) as error:
            raise ConfigError(
                f"No connection can be made: {error}.",
                hint="Look at the variables SSL_CERT_FILE, SSL_CERT_DIR, HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.",
            ) from error

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def send(self, call: Call) -> Answer:
        """The answer. Raises what the server tells, or ``ServerError``; what may be repeated is tried three times more."""
        # Who asks again and again while the server is away, as a view does, is told at once that it still is.
        pauses = iter(() if self._away else _PAUSES)
        while True:
            try:
                return self._once(call)
            except _Trouble as trouble:
                pause = next(pauses, None)
                self._away = pause is None and isinstance(trouble.__cause__, httpx2.TransportError)
                if pause is None or not trouble.again or trouble.after > _LONGEST:
                    raise trouble.error from trouble.__cause__
                # Clients that were turned away together must not come back together.
                self._pause(max(trouble.after, pause * random.uniform(1, 1.5)))  # noqa: S311

    def json(self, call: Call) -> Any:
        """The JSON of the answer. Raises as :meth:`send`."""
        return self.parse(self.send(call).content)

    def parse(self, content: bytes | str) -> Any:
        """JSON that the server told. Raises ``ServerError``."""
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.nonsense() from error

    @contextmanager
    def stream(self, call: Call, *, silence: float | None = None) -> Iterator[httpx2.Response]:
        """A good answer with its body unread; tried once. ``silence``: seconds between two parts of it. Raises as :meth:`send`."""
        try:
            with self._open(call, silence) as response:
                yield response
        except _Trouble as trouble:
            raise trouble.error from trouble.__cause__

    def nonsense(self) -> ServerError:
        """The error for an answer that no Djed server gives."""
        return _final(
            ServerError(
                f"{self.url} answered something that cannot be read.",
                hint="Is it a Djed server, and not older than this command? See: djed doctor",
            )
        )

    def _once(self, call: Call) -> Answer:
        with self._open(call) as response:
            content = self._read(response, _MOST)
            return Answer(status=response.status_code, headers=response.headers, content=content)

    @contextmanager
    def _open(self, call: Call, silence: float | None = None) -> Iterator[httpx2.Response]:
        kind, body = _body(call.body)
        key = {"Idempotency-Key": call.key} if call.key else {}
        request = self._http.build_request(
            call.method,
            call.path,
            params={name: value for name, value in call.params.items() if value is not None},
            content=body,
            timeout=self._limits(call.wait, silence),
            headers={**call.headers, **kind, **key},
        )
        response = None
        try:
            response = self._http.send(request, stream=True)
            self._away = False
            if not response.is_success:
                raise self._refused(call, response)
            yield response
        except httpx2.TransportError as error:
            again = call.repeatable or isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise _Trouble(self._unreachable(error), again=again and not _untrusted(error)) from error
        except httpx2.DecodingError as error:
            raise self.nonsense() from error
        finally:
            if response is not None:
                response.close()

    def _read(self, response: httpx2.Response, most: int) -> bytes:
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > most:
                raise _final(ServerError(f"{self.url} answered with more than {format_size(most)}."))
        return bytes(content)

    def _refused(self, call: Call, response: httpx2.Response) -> _Trouble:
        """What an answer that is not good says."""
        status, after = response.status_code, _after(response.headers.get("retry-after", ""))
        if response.is_redirect:
            hint = "Its answer leads elsewhere; name the final address in the setting server."
            return _Trouble(_final(ServerError(f"{self.url} is not where the server is.", hint=hint)))
        content = b"" if call.method == "HEAD" else self._read(response, _PROBLEM)
        told = problem(content) if response.headers.get("content-type", "").startswith(PROBLEM) else None
        again = status in _TRY_AGAIN and (call.repeatable or status == codes.TOO_MANY_REQUESTS)
        if told is None:
            return _Trouble(self._unexplained(call, status), again=again, after=after)
        if isinstance(told, RateError):
            told.after = max(told.after, after)
        return _Trouble(told, again=again and (told.transient or after > 0), after=after)

    def _unexplained(self, call: Call, status: int) -> DjedError:
        """An answer without a reason: from a proxy, or from another kind of server."""
        if call.method == "HEAD" and status < codes.INTERNAL_SERVER_ERROR:
            # Such an answer has no body that could say more; whoever goes on without what he asked for hears why.
            return NotFoundError(f"{self.url} does not show {call.path}.")
        error = ServerError(
            f"{self.url} answered {call.method} {call.path} with status {status}.",
            hint="Is it a Djed server? See: djed doctor" if status < codes.INTERNAL_SERVER_ERROR else None,
        )
        return error if status in _TRY_AGAIN else _final(error)

    def _unreachable(self, error: httpx2.TransportError) -> ServerError:
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return ServerError(f"{self.url} did not answer within {format_duration(self._timeout)}.")
        if _untrusted(error):
            hint = "Add its authority to the system's certificates, or name it in SSL_CERT_FILE."
            return _final(ServerError(f"The certificate of {self.url} is not trusted.", hint=hint))
        hint = "Is it running there, and is the setting server right? See: djed doctor"
        return ServerError(f"{self.url} cannot be reached: {_reason(error)}.", hint=hint)

    def _limits(self, wait: float, silence: float | None = None) -> httpx2.Timeout:
        read = self._timeout + wait if silence is None else silence
        return httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout), read=read)


class _Trouble(Exception):  # noqa: N818 (it never leaves this module)
    """A failed try, and whether another one may help."""

    def __init__(self, error: DjedError, *, again: bool = False, after: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.after = after


def _final(error: ServerError) -> ServerError:
    """The same error, that another try does not mend."""
    error.transient = False
    return error


def _address(url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(url)
        address.raw_host.decode().encode(
            "idna"
        )  # as it is looked up: empty and endless labels are found here
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"The setting server is wrong: {error}.") from error
    plain = address.host and not address.userinfo and 0 < (address.port or 80) < 2**16
    if not plain or address.scheme not in {"http", "https"}:
        raise ConfigError(
            "The setting server must be an address like https://djed.example.",
            hint="A token is given by the setting token, not in the address.",
        )
    return address


def _checked(token: str) -> str:
    """The token, where a header can carry it. It is never part of a message."""
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ConfigError(
            "The setting token is wrong: it has characters that no token has.",
            hint="Copy it again, without spaces and line ends.",
        )
    return token


def _body(body: Any) -> tuple[dict[str, str], bytes | None]:
    """Content type and bytes."""
    if body is None:
        return {}, None
    if isinstance(body, bytes):
        return {"Content-Type": "application/octet-stream"}, body
    return {"Content-Type": "application/json"}, json.dumps(body, allow_nan=False).encode()


def _after(text: str) -> float:
    """Seconds of ``Retry-After``; 0 where it says none. Its other form, a date, is not used by our servers."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _untrusted(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _reason(error: httpx2.TransportError) -> str:
    """Why, in the words of the system, without addresses."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror[0].lower() + seen.strerror[1:]
        seen = seen.__cause__ or seen.__context__
    return {
        httpx2.ConnectTimeout: "nobody answers",
        httpx2.RemoteProtocolError: "it broke off",
        httpx2.ReadError: "it broke off",
        httpx2.ProxyError: "the proxy refuses",
    }.get(type(error), "the connection failed")
