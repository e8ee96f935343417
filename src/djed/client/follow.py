"""Events of a server as they come, over lost connections and restarts: each event once, in order."""

from __future__ import annotations

import contextlib
import enum
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from httpx2 import codes

from djed.client.connection import Call, Connection
from djed.client.sse import Message, Parser
from djed.errors import DjedError, RateError, StoreError
from djed.model.codec import decode
from djed.model.inspection import FINAL, Event

if TYPE_CHECKING:
    import httpx2

__all__ = ["PATIENCE", "Sign", "Stream", "event_of", "is_last", "until_final"]

PATIENCE = 300.0
"""Seconds without a word of the server after which a follower gives up."""
_SILENCE = 60.0
"""Seconds without a byte after which a connection counts as lost; the server sends a comment now and then."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0
_AHEAD = 1000
"""Messages that are read ahead of who asks for them."""


class Sign(enum.Enum):
    """What a stream tells beside events."""

    OPENED = enum.auto()
    """It is connected for the first time: whatever happens from here on is told."""
    WROTE = enum.auto()
    """A job wrote something."""
    ENDED = enum.auto()
    """All was told."""


class Stream:
    """One stream of events, read in a thread of its own. A context manager."""

    def __init__(
        self, connection: Connection, path: str, *, params: Mapping[str, Any], after: str = ""
    ) -> None:
        self._connection = connection
        self._path = path
        self._params = params
        self._after = after
        self._found: queue.Queue[Event | Sign | Exception] = queue.Queue(_AHEAD)
        self._ended = threading.Event()
        self._opened = False
        self._wrote = False
        """Somebody is yet to hear that a job wrote; once is enough, however much it writes meanwhile."""
        self._response: httpx2.Response | None = None
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="djed-follow", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        response = self._response
        if response is not None:
            # Closing does not wake a thread that waits for bytes; the end of the connection does.
            with contextlib.suppress(OSError, KeyError, AttributeError):
                response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)

    def next(self, seconds: float) -> Event | Sign | None:
        """What comes next; ``None`` after so many seconds without anything. Raises what the server refuses, ``ServerError``."""
        try:
            found = self._found.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        if found is Sign.WROTE:
            self._wrote = False
        return found

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 (raised again in the thread that waits)
            self._put(error)

    def _read(self) -> None:
        """Listen again and again. Raises ``DjedError`` where that helps no more."""
        pause = _FIRST_PAUSE
        while not self._ended.is_set():
            before, asked = self._heard, 0.0
            try:
                self._listen()
            except DjedError as error:
                later = error.transient or isinstance(error, StoreError)
                if not later or time.monotonic() - self._heard > PATIENCE:
                    raise
                asked = error.after if isinstance(error, RateError) else 0.0
            finally:
                self._response = None
            # Whoever was heard meanwhile is there again soon; who never answers is asked less and less often.
            pause = _FIRST_PAUSE if self._heard > before else min(pause * 2, _LONGEST_PAUSE)
            self._ended.wait(max(asked, pause * random.uniform(1, 1.5)))  # noqa: S311 (many must not come back together)

    def _listen(self) -> None:
        """Until the connection ends. Raises ``DjedError``."""
        known = {"Last-Event-ID": self._after} if self._after else {}
        call = Call(
            method="GET",
            path=self._path,
            params=self._params,
            headers={"Accept": "text/event-stream", **known},
        )
        parser = Parser()
        with self._connection.stream(call, silence=_SILENCE) as response:
            self._response = response
            if response.status_code == codes.NO_CONTENT:
                self._put(Sign.ENDED)
                self._ended.set()
            for chunk in response.iter_bytes():
                self._heard = time.monotonic()
                if not self._opened:
                    self._opened = True
                    self._put(Sign.OPENED)
                for message in parser.feed(chunk):
                    self._take(event_of(self._connection, message))
                    # Only now: what could not be handed over is asked for again.
                    self._after = message.id
                self._after = parser.last_id or self._after
                if self._ended.is_set():
                    return

    def _take(self, found: Event | Sign | None) -> None:
        if found is None or (found is Sign.WROTE and self._wrote):
            return
        self._wrote = self._wrote or found is Sign.WROTE
        self._put(found)

    def _put(self, found: Event | Sign | Exception) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(queue.Full):
                self._found.put(found, timeout=0.5)
                return


def event_of(connection: Connection, message: Message) -> Event | Sign | None:
    """The event in a message, ``WROTE`` for a part of a log, ``None`` for what this version does not know."""
    if message.kind == "log":
        return Sign.WROTE
    told = connection.parse(message.data)
    if not isinstance(told, dict) or not {"seq", "inspection", "kind"} <= told.keys():
        return None
    try:
        return decode(Event, told)
    except (TypeError, ValueError, AttributeError) as error:
        raise connection.nonsense() from error


def is_last(event: Event) -> bool:
    """Whether its inspection is final with it."""
    return event.kind == "done" or (event.kind == "state" and event.data.get("state") in FINAL)


def until_final(
    stream: Stream, unfinished: set[str], tick: float, known: Mapping[str, tuple[int, int]]
) -> Iterator[Event | None]:
    """The events of ``unfinished`` until all are over; ``None`` every ``tick`` seconds, and when a job wrote.

    ``known``: by inspection the place (transaction, number) of the last event that the caller has seen.
    """
    while unfinished:
        found = stream.next(tick)
        if found is Sign.ENDED:
            return
        if not isinstance(found, Event):
            yield None
        elif found.inspection in unfinished and (found.xact, found.seq) > known.get(
            found.inspection, (-1, -1)
        ):
            yield found
            if is_last(found):
                unfinished.discard(found.inspection)
