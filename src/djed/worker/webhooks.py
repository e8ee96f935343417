"""Telling webhooks what happened: in order, at least once, signed after Standard Webhooks 1.0 (https://www.standardwebhooks.com).

The dispatcher sleeps at a bell of the store. What it tells a webhook is written down after each event, so that ``kill -9`` in the middle
repeats at most that one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import random
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from djed.errors import DjedError, RequestError, StoreError, UnsafeError
from djed.model.webhook import Delivery, Webhook
from djed.store import events
from djed.store import webhooks as rows
from djed.store.secrets import seal_of
from djed.toolbox import fetch
from djed.toolbox.bell import Bell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from djed.config import Config
    from djed.model.inspection import Event
    from djed.model.summary import Summary
    from djed.store.store import Store
    from djed.store.webhooks import Line

__all__ = ["KINDS", "Dispatcher", "register", "sign"]

KINDS = ("cancel", "done", "job", "state")
"""Kinds of events."""

_logger = logging.getLogger(__name__)
_PREFIX = "whsec_"
_SENDERS = 8
_TIMEOUT = 10.0
"""Seconds for a message and its answer."""
_REFUSALS = 5
"""Attempts of an event that the receiver refuses."""
_LONGEST_WAIT = 3600.0
_PATIENCE = 3.0
"""Seconds until the store is tried again after it failed."""
_GUARD = 60.0
"""Seconds after which it looks though nobody rang."""
_REST = 0.05
"""Seconds between two looks: what happens meanwhile is told together."""


class Post(Protocol):
    """Sends a message: :func:`djed.toolbox.fetch.post`."""

    def __call__(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, private: bool = False
    ) -> int:
        """The status of the answer."""
        ...


def register(
    store: Store, config: Config, url: str, *, namespace: str, kinds: Sequence[str] = ()
) -> tuple[Webhook, str]:
    """A new webhook and its secret, which is told only now.

    Raises ``RequestError``, ``UnsafeError``, ``ConflictError`` where there are too many, ``MissingPartError`` without cryptography.
    """
    for kind in kinds:
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, 1)
            raise RequestError(
                f"There are no events of the kind {kind[:40]!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(KINDS)}.",
            )
    fetch.check(url, timeout=_TIMEOUT, private=config.webhooks_allow_private)
    webhook = Webhook(
        id=f"wh_{secrets.token_hex(8)}",
        url=url,
        events=tuple(sorted(set(kinds))),
        created_at=time.time(),
    )
    secret = secrets.token_bytes(32)
    sealed = seal_of(config).seal(secret, context=_context(webhook.id))
    with store.change() as connection:
        rows.add(connection, webhook, namespace=namespace, sealed=sealed)
    return webhook, _PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """The signature of a message: ``v1,`` and the base64 of HMAC-SHA256 over id, Unix time and body, with dots between them."""
    content = b".".join((id_.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()


class Dispatcher:
    """Tells the webhooks of a store, in threads of its own, from entering it until leaving it. Any number may share a store."""

    def __init__(self, store: Store, config: Config, *, post: Post = fetch.post) -> None:
        self._store = store
        self._config = config
        self._post = post
        self._seal = seal_of(config)
        self._bell = Bell(store.bells)
        self._owner = self._bell.name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="djed-webhooks")
        self._busy: set[str] = set()
        self._passed: dict[str, tuple[str, str]] = {}
        """By webhook, its position as stored, and up to where nothing of its kinds lies behind it."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, after the messages that are on their way."""
        self._stop.set()
        self._bell.ring()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._store.listen()
            with ThreadPoolExecutor(_SENDERS, thread_name_prefix="djed-webhook") as pool:
                while not self._stop.is_set():
                    try:
                        wait = self._look(pool)
                    except StoreError as error:
                        _logger.warning("webhooks wait: %s", error)
                        wait = _PATIENCE
                    except Exception:
                        _logger.exception("webhooks cannot be looked after")
                        wait = _GUARD
                    self._bell.wait(wait)
                    self._stop.wait(_REST)
        finally:
            self._bell.close()

    def _look(self, pool: ThreadPoolExecutor) -> float:
        """Set somebody to every webhook that is to be told something; the seconds until there may be more."""
        now, wait = time.time(), _GUARD
        with self._store.database.read() as connection:
            known = rows.lines(connection, owner=self._owner)
            for line in known:
                if line.id in self._busy:
                    continue
                if line.free_at > now:
                    wait = min(wait, line.free_at - now)
                    continue
                found = rows.next_event(connection, self._behind(line))
                if isinstance(found, str):
                    if found != self._behind(line).position:
                        self._passed[line.id] = (line.position, found)
                        wait = 0.0
                else:
                    self._busy.add(line.id)
                    pool.submit(self._serve, line)
            if known and events.held_back(connection):
                wait = min(wait, 0.1)
        self._passed = {line.id: self._passed[line.id] for line in known if line.id in self._passed}
        return wait

    def _behind(self, line: Line) -> Line:
        """The webhook, moved past what is none of its kinds: that is not worth a write."""
        stored, passed = self._passed.get(line.id, ("", ""))
        return replace(line, position=passed) if stored == line.position else line

    def _serve(self, line: Line) -> None:
        """Tell one webhook all there is, until it fails."""
        try:
            with self._store.change(by=self._owner) as connection:
                now = time.time()
                ours = rows.claim(connection, line, owner=self._owner, now=now, until=now + self._lease)
            if ours:
                self._tell(self._behind(line))
        except (
            StoreError
        ) as error:  # what was told and could not be written down is told again, but not all the time
            _logger.warning("webhook %s waits: %s", line.id, error)
            self._stop.wait(_PATIENCE)
        except Exception:
            _logger.exception("webhook %s cannot be told", line.id)
        finally:
            self._busy.discard(line.id)
            self._bell.ring()

    def _tell(self, line: Line) -> None:
        while True:
            with self._store.database.read() as connection:
                found = rows.next_event(connection, line)
            if isinstance(found, str) or self._stop.is_set():
                with self._store.change(by=self._owner) as connection:
                    position = found if isinstance(found, str) else line.position
                    rows.release(connection, line, position, owner=self._owner)
                return
            step = self._attempt(line, *found)
            with self._store.change(by=self._owner) as connection:
                ours = rows.settle(connection, line, step, owner=self._owner, now=time.time())
            if not ours or not step.until:
                return
            line = replace(line, position=step.position, failures=step.failures)

    @property
    def _lease(self) -> float:
        return _TIMEOUT + self._config.lease

    def _attempt(self, line: Line, event: Event, summary: Summary | None) -> rows.Step:
        """Tell one event, and say what came of it."""
        answer = self._send(line, event, summary)
        now, attempts = time.time(), line.failures + 1
        delivery = Delivery(
            webhook=line.id,
            position=event.position,
            inspection=event.inspection,
            kind=event.kind,
            state="delivered" if answer.verdict == "delivered" else "given_up",
            attempts=attempts,
            status=answer.status,
            error=answer.error,
            at=now,
        )
        late = now - event.at >= self._config.webhooks_max_age
        done = late or answer.verdict in {"delivered", "gone"}
        if done or (answer.verdict == "refused" and attempts >= _REFUSALS):
            active = answer.verdict != "gone"
            return rows.Step(
                delivery=delivery,
                position=event.position,
                error=answer.error,
                active=active,
                until=now + self._lease if active else 0.0,
            )
        _logger.info(
            "webhook %s: attempt %d of event %s: %s", line.id, attempts, event.position, answer.error
        )
        return rows.Step(
            delivery=None,
            position=line.position,
            failures=attempts,
            error=answer.error,
            due=now + _pause(attempts),
        )

    def _send(self, line: Line, event: Event, summary: Summary | None) -> _Answer:
        body, timestamp = _message(event, summary), int(time.time())
        try:
            secret = self._seal.open(line.secret, context=_context(line.id))
            headers = {
                "Content-Type": "application/json",
                "webhook-id": event.position,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(secret, event.position, timestamp, body),
            }
            status = self._post(
                line.url,
                body,
                headers=headers,
                timeout=_TIMEOUT,
                private=self._config.webhooks_allow_private,
            )
        except UnsafeError as error:
            return _Answer(verdict="refused", error=error.message)
        except DjedError as error:
            return _Answer(verdict="failed", error=error.message)
        return _judge(status)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    verdict: Literal["delivered", "failed", "refused", "gone"]
    """``failed``: it may work later, whatever the message; ``refused``: hardly; ``gone``: nothing more is wanted."""
    status: int | None = None
    error: str | None = None


def _judge(status: int) -> _Answer:
    if 200 <= status < 300:
        return _Answer(verdict="delivered", status=status)
    error = f"It answered with status {status}."
    if status == 410:
        return _Answer(verdict="gone", status=status, error=error)
    failed = status in {408, 429} or status >= 500
    return _Answer(verdict="failed" if failed else "refused", status=status, error=error)


def _pause(failures: int) -> float:
    """Seconds until the next attempt: twice as long after each failure, 1 s to 1 h, and never the same for two webhooks."""
    return min(_LONGEST_WAIT, 2.0 ** min(failures, 12)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _message(event: Event, summary: Summary | None) -> bytes:
    """The body: the event, and its inspection as it is now (``null`` where it was removed meanwhile)."""
    content: dict[str, Any] = {
        "id": event.position,
        "kind": event.kind,
        "at": event.at,
        "inspection": None if summary is None else asdict(summary),
        "data": event.data,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _context(webhook: str) -> str:
    return f"webhook {webhook}"
