"""The client: what the engine of a server offers, in the same words."""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from djed.client.admin import AdminCalls
from djed.client.connection import TIMEOUT, Call, Connection, place
from djed.client.follow import Sign, Stream, is_last, until_final
from djed.errors import ConfigError, NotFoundError, RequestError
from djed.model.access import Usage
from djed.model.artifact import SINGLE_FILES, Artifact
from djed.model.codec import encode
from djed.model.difference import Difference
from djed.model.hardware import Node
from djed.model.inspection import FINAL, AttemptRecord, Event, Inspection, JobRecord
from djed.model.preview import Preview, QueuePlace, RecipeForm
from djed.model.summary import Collected, Page, Sort, StoredArtifact, StoredObservation, Summary
from djed.model.webhook import Delivery, Webhook

if TYPE_CHECKING:
    import httpx2

    from djed.config import Config
    from djed.intake.submission import Submission
    from djed.model.observation import Statistics

__all__ = ["Client"]

_MOST_EVENTS = 1000
_PAGE = 1000
"""Items that a server gives at once."""
_LONGEST_WAIT = 60.0
"""Seconds for which a server lets a call wait."""
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_IN_MEMORY = 2**20
"""Bytes of an output that are held in memory; a larger one goes through a file."""


class Client(AdminCalls):
    """A :class:`djed.service.interface.Service` over HTTP; safe for threads. ``url`` as ``https://djed.example``.

    ``timeout``: seconds for an answer to begin. All methods raise what the server's engine raises, ``TokenError`` and ``AccessError``
    where the token does not allow it, ``RateError`` where it asks too often, ``ServerError`` where the server cannot be reached.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = TIMEOUT,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(Connection(url, token, timeout=timeout, transport=transport))

    @classmethod
    def open(cls, config: Config) -> Self:
        """A client of the server that the settings name. Raises ``ConfigError`` where they name none."""
        if config.server is None:
            raise ConfigError("There is no server.", hint="Name one: --set server=https://djed.example")
        return cls(config.server, config.token)

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._connection.url

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def version(self) -> str:
        """The version of Djed at the server; needs no token."""
        return str(self._object(Call(method="GET", path="/v1/version")).get("version", ""))

    # Asking

    def submit(
        self, submissions: Sequence[Submission], *, fresh: bool = False, key: str | None = None
    ) -> Sequence[Inspection]:
        """Accept requests. What the server does not have yet is uploaded first. Without a ``key`` one is made, for further tries."""
        for submission in submissions:
            self._upload(submission)
        body = {"requests": [encode(item.request) for item in submissions], "fresh": fresh}
        key = key or secrets.token_hex(16)
        return self._nouns(Inspection, Call(method="POST", path="/v1/groups", body=body, key=key))

    def retry(self, reference: str) -> Inspection:
        """A new inspection of the same request."""
        return self._noun(Inspection, Call(method="POST", path=_of(reference, "retry")))

    def clone(self, reference: str, changes: Mapping[str, Any]) -> Inspection:
        """A new inspection of the same request with some fields changed."""
        return self._noun(Inspection, Call(method="POST", path=_of(reference, "clone"), body=dict(changes)))

    def cancel(self, reference: str) -> Inspection:
        """Ask for cancellation; it is final when :meth:`get` says so. Raises ``ConflictError`` if it is final already."""
        return self._noun(Inspection, Call(method="POST", path=_of(reference, "cancel")))

    def remove(self, references: Sequence[str]) -> int:
        """Forget final inspections. Raises ``ConflictError``, and then removes none."""
        found = {item.id: item for item in map(self.get, references)}
        # One that is not over is refused by the server, in its words, before any other is gone.
        for item in sorted(found.values(), key=lambda item: item.state in FINAL):
            self._connection.send(Call(method="DELETE", path=_of(item.id)))
        return len(found)

    def preview(self, submission: Submission, *, wait: float = 30.0) -> Preview:
        """What would become of it; the stack is waited for so many seconds."""
        self._upload(submission)
        body = encode(submission.request)
        wait = min(wait, _LONGEST_WAIT)
        call = Call(method="POST", path="/v1/plan", params={"wait": wait}, body=body, wait=wait)
        return self._noun(Preview, call)

    def recipe(self, what: str | Submission, form: RecipeForm = "containerfile") -> str:
        """The environment of an inspection, or of a request, as a recipe that can be built by hand."""
        params = {"form": form}
        if isinstance(what, str):
            call = Call(method="GET", path=_of(what, "recipe"), params=params)
        else:
            self._upload(what)
            call = Call(method="POST", path="/v1/recipe", params=params, body=encode(what.request))
        return self._connection.send(call).content.decode(errors="replace")

    # Looking

    def get(self, reference: str) -> Inspection:
        """One inspection."""
        return self._noun(Inspection, Call(method="GET", path=_of(reference)))

    def page(
        self,
        *,
        states: Sequence[str] = (),
        name: str | None = None,
        sort: Sort = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Summary]:
        """Inspections in short; ``after`` is the cursor of an earlier page."""
        params = {
            "state": list(states) or None,
            "name": name,
            "sort": sort,
            "limit": min(limit, _PAGE),
            "after": after,
        }
        return self._page(Summary, Call(method="GET", path="/v1/inspections", params=params))

    def jobs(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs of an inspection with their reports."""
        return self._nouns(JobRecord, Call(method="GET", path=_of(inspection, "jobs")))

    def attempts(self, inspection: str) -> Sequence[AttemptRecord]:
        """Every attempt of its jobs, in order of start."""
        return self._nouns(AttemptRecord, Call(method="GET", path=_of(inspection, "attempts")))

    def log(self, job: str, stream: str = "stdout", offset: int = 0, limit: int | None = None) -> bytes:
        """What a job wrote so far from ``offset`` on, at most ``limit`` bytes."""
        params = {"stream": stream, "offset": offset, "limit": limit}
        return self._connection.send(
            Call(method="GET", path=place("jobs", job, "log"), params=params)
        ).content

    @contextmanager
    def output(self, inspection: str, role: str, path: str) -> Iterator[BinaryIO]:
        """A file that a job left in its outputs, to be read; it is gone when the block is left."""
        call = Call(method="GET", path=_of(inspection, "outputs", role, *path.split("/")))
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
            file = cast("BinaryIO", spooled)
            self._fetch(call, file)
            file.seek(0)
            yield file

    def artifact(self, digest: str) -> Artifact | None:
        """What is in an artifact; ``None`` where it was removed."""
        try:
            return self._noun(Artifact, Call(method="GET", path=place("artifacts", digest)))
        except NotFoundError:
            return None

    def artifacts(self, *, limit: int = 100, after: str | None = None) -> Page[StoredArtifact]:
        """The artifacts that inspections of the namespace use, newest first."""
        params = {"limit": min(limit, _PAGE), "after": after}
        return self._page(StoredArtifact, Call(method="GET", path="/v1/artifacts", params=params))

    @contextmanager
    def files(self, digest: str) -> Iterator[Path]:
        """A folder with the files of an artifact; it is gone when the block is left. Raises ``NotFoundError``."""
        from djed.toolbox.archive import extract

        artifact = self.artifact(digest)
        if artifact is None:
            raise NotFoundError(
                f"There is no artifact {digest}.", hint="It may have been removed by: djed gc"
            )
        call = Call(method="GET", path=place("artifacts", digest, "download"))
        ending = SINGLE_FILES.get(artifact.kind)
        with tempfile.TemporaryDirectory(prefix="djed-") as folder:
            fetched = Path(folder, f"{artifact.kind}{ending or '.part'}")
            with fetched.open("wb") as file:
                self._fetch(call, file)
            if ending is not None:
                yield Path(folder)
                return
            unpacked = Path(folder, "files")
            unpacked.mkdir()
            with fetched.open("rb") as file:
                extract(file, unpacked, name=f"the artifact {digest}")
            # In it is one folder, as the server calls it.
            yield next(unpacked.iterdir())

    def observations(
        self,
        reference: str | None = None,
        *,
        kind: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[StoredObservation]:
        """Observations of one inspection or of all, newest first."""
        params = {
            "inspection": None if reference is None else _checked(reference),
            "kind": kind,
            "limit": min(limit, _PAGE),
            "after": after,
        }
        return self._page(StoredObservation, Call(method="GET", path="/v1/observations", params=params))

    def difference(self, a: str, b: str) -> Difference:
        """Only what differs between two inspections."""
        return self._noun(Difference, Call(method="GET", path=_of(a, "diff", b)))

    def events(self, ids: Sequence[str], after: str = "") -> Sequence[Event]:
        """What happened to inspections behind the position ``after``, in order; at most 1,000."""
        found = [event for id_ in ids for event in islice(self._history(id_, after), _MOST_EVENTS)]
        return sorted(found, key=_order)[:_MOST_EVENTS]

    def follow(
        self, ids: Sequence[str], after: str = "", *, tick: float = 0.25, logs: bool = False
    ) -> Iterator[Event | None]:
        """Events as they come, over lost connections and restarts of the server; ``None`` every ``tick`` seconds without one.

        With ``logs`` and one inspection ``None`` comes also when a job wrote. Ends when all are final.
        """
        items = {item.id: item for item in map(self.get, ids)}
        for item in items.values():
            if item.state in FINAL:
                yield from self._history(item.id, after)
        unfinished = {item.id for item in items.values() if item.state not in FINAL}
        if len(unfinished) == 1:
            path, params = _of(*unfinished, "stream"), {"logs": "true" if logs else None}
            with Stream(self._connection, path, params=params, after=after) as stream:
                yield from until_final(stream, unfinished, tick, {})
        elif unfinished:
            yield from self._follow_many(unfinished, after, tick)

    def _follow_many(self, unfinished: set[str], after: str, tick: float) -> Iterator[Event | None]:
        """By the stream of the namespace, which begins now: what happened before is asked for once the stream is open."""
        with Stream(self._connection, "/v1/stream", params={}, after=after) as stream:
            known: dict[str, tuple[int, int]] = {}
            if not after:
                while stream.next(tick) is not Sign.OPENED:
                    yield None
                before = [event for id_ in unfinished for event in self._history(id_)]
                for event in sorted(before, key=_order):
                    known[event.inspection] = _order(event)
                    yield event
                    if is_last(event):
                        unfinished.discard(event.inspection)
            yield from until_final(stream, unfinished, tick, known)

    def _history(self, id_: str, after: str = "") -> Iterator[Event]:
        """All events of one inspection behind a position."""
        cursor: str | None = after
        while cursor is not None:
            call = Call(method="GET", path=_of(id_, "events"), params={"after": cursor or None})
            page = self._page(Event, call)
            yield from page.items
            cursor = page.next

    def queue(self, reference: str) -> QueuePlace:
        """Where it stands, and when it may start."""
        return self._noun(QueuePlace, Call(method="GET", path=_of(reference, "queue")))

    def nodes(self) -> Sequence[Node]:
        """Every node of every target."""
        return self._nouns(Node, Call(method="GET", path="/v1/nodes"))

    def usage(self) -> Usage:
        """What the namespace holds, and which quotas are full."""
        return self._noun(Usage, Call(method="GET", path="/v1/usage"))

    # Secrets and webhooks of the namespace

    def secrets(self) -> Sequence[str]:
        """The names of its secrets."""
        items = self._object(Call(method="GET", path="/v1/secrets")).get("items")
        return tuple(str(item["name"] if isinstance(item, dict) else item) for item in items or ())

    def set_secret(self, name: str, value: bytes) -> None:
        """Keep a secret in the place of an earlier one of that name."""
        self._connection.send(Call(method="PUT", path=place("secrets", name), body=value))

    def remove_secret(self, name: str) -> None:
        """Forget a secret."""
        self._connection.send(Call(method="DELETE", path=place("secrets", name)))

    def webhooks(self) -> Sequence[Webhook]:
        """Its webhooks, in order of creation."""
        return self._nouns(Webhook, Call(method="GET", path="/v1/webhooks"))

    def add_webhook(self, url: str, events: Sequence[str] = ()) -> tuple[Webhook, str]:
        """A new webhook and the secret by which its messages are signed, which is told only now."""
        body = {"url": url, "events": list(events)}
        told = self._object(Call(method="POST", path="/v1/webhooks", body=body))
        return self._decode(Webhook, told), str(told.get("secret", ""))

    def remove_webhook(self, id_: str) -> None:
        """Tell that address nothing more."""
        self._connection.send(Call(method="DELETE", path=place("webhooks", id_)))

    def deliveries(self, webhook: str, *, limit: int = 100) -> Sequence[Delivery]:
        """What it was told last, and what was given up, newest first."""
        path = place("webhooks", webhook, "deliveries")
        return self._nouns(Delivery, Call(method="GET", path=path, params={"limit": min(limit, _PAGE)}))

    # Working

    def check_parts(self) -> None:
        """Nothing: what is needed is needed where the work is done."""

    def working(self) -> contextlib.AbstractContextManager[None]:
        """Nothing: the workers of the server are at work."""
        return contextlib.nullcontext()

    def wait(self, ids: Sequence[str]) -> Sequence[Inspection]:
        """Until these inspections are final."""
        for _ in self.follow(ids):
            pass
        return [self.get(id_) for id_ in ids]

    def gc(self, *, older_than: float | None = None, dry_run: bool = False) -> Collected:
        """Remove what nothing needs; for administrators."""
        body = {"older_than": older_than, "dry_run": dry_run}
        return self._noun(Collected, Call(method="POST", path="/v1/gc", body=body))

    def noise(self, *, repeats: int = 20) -> Statistics:  # noqa: ARG002 (the contract's)
        """Raises ``RequestError``: a noise floor is measured on the machine itself."""
        raise RequestError(
            "The noise floor is measured where the work is done, not over a server.",
            hint="On that machine, with its store: djed hwinfo --noise",
        )

    def _upload(self, submission: Submission) -> None:
        """Bring what the server does not have."""
        for digest, content in submission.contents.items():
            path = place("files", digest)
            try:
                self._connection.send(Call(method="HEAD", path=path))
            except NotFoundError:
                self._connection.send(Call(method="PUT", path=path, body=content))


def _order(event: Event) -> tuple[int, int]:
    return event.xact, event.seq


def _of(reference: str, *more: str) -> str:
    """A path below an inspection. Raises ``NotFoundError``."""
    return place("inspections", _checked(reference), *more)


def _checked(reference: str) -> str:
    """Raises ``NotFoundError`` for what no inspection is called, which a server would take for a mistake of ours."""
    if not _REFERENCE.fullmatch(reference):
        raise NotFoundError(f"There is no inspection {reference!r}.", hint="See them with: djed list")
    return reference
