"""What the engine offers within one namespace, and the client of a server in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from djed.intake.submission import Submission
    from djed.model.access import Usage
    from djed.model.artifact import Artifact
    from djed.model.difference import Difference
    from djed.model.hardware import Node
    from djed.model.inspection import AttemptRecord, Event, Inspection, JobRecord
    from djed.model.observation import Statistics
    from djed.model.preview import Preview, QueuePlace, RecipeForm
    from djed.model.summary import Collected, Page, Sort, StoredArtifact, StoredObservation, Summary
    from djed.model.webhook import Delivery, Webhook

__all__ = ["Service"]


class Service(Protocol):
    """Inspections of one namespace. A context manager. A reference is an id, a unique beginning of one, ``latest``, or a name (its newest).

    What belongs to another namespace is not found. All methods raise ``DjedError`` and its kin: ``NotFoundError``, ``ConflictError``,
    ``RequestError``, ``AccessError`` where the token does not allow it, ``StoreError`` or ``ServerError`` where it cannot be done now.
    """

    def close(self) -> None:
        """Let go of the store or the connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    # Asking

    def submit(
        self, submissions: Sequence[Submission], *, fresh: bool = False, key: str | None = None
    ) -> Sequence[Inspection]:
        """Accept requests; once this returns they are durable. Those submitted together interleave their repeats.

        ``fresh``: do all anew, whatever the requests say of reuse. ``key``: an idempotency key; the same key with the same requests
        returns what the first call made, with others it raises ``ConflictError``.
        """
        ...

    def retry(self, reference: str) -> Inspection:
        """A new inspection of the same request."""
        ...

    def clone(self, reference: str, changes: Mapping[str, Any]) -> Inspection:
        """A new inspection of the same request with some fields changed: ``{"run": {"repeat": 20}}``; ``None`` resets a field."""
        ...

    def cancel(self, reference: str) -> Inspection:
        """Ask for cancellation; it is final when :meth:`get` says so. Raises ``ConflictError`` if it is final already."""
        ...

    def remove(self, references: Sequence[str]) -> int:
        """Forget final inspections. Their observations stay: they are evidence. Raises ``ConflictError``, and then removes none."""
        ...

    def preview(self, submission: Submission, *, wait: float = 30.0) -> Preview:
        """What would become of it: nodes, Python, stack, jobs, recipe, turn. Waits so long for the stack where it must be resolved."""
        ...

    def recipe(self, what: str | Submission, form: RecipeForm = "containerfile") -> str:
        """The environment of an inspection, or of a request, as a recipe that can be built by hand.

        With its very stack where that is known. Raises ``TooLargeError`` where the files are more than a recipe can hold.
        """
        ...

    # Looking

    def get(self, reference: str) -> Inspection:
        """One inspection."""
        ...

    def page(
        self,
        *,
        states: Sequence[str] = (),
        name: str | None = None,
        sort: Sort = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Summary]:
        """Inspections in short. ``states`` may hold states and outcomes; ``after`` is the cursor of an earlier page (400 if forged)."""
        ...

    def jobs(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs of an inspection with their reports, in the order in which they were made."""
        ...

    def attempts(self, inspection: str) -> Sequence[AttemptRecord]:
        """Every attempt of its jobs, in order of start."""
        ...

    def log(self, job: str, stream: str = "stdout", offset: int = 0, limit: int | None = None) -> bytes:
        """What a job wrote so far from ``offset`` on, at most ``limit`` bytes, whether it runs or is over."""
        ...

    def output(self, inspection: str, role: str, path: str) -> AbstractContextManager[BinaryIO]:
        """A file that a job left in its outputs, to be read."""
        ...

    def artifact(self, digest: str) -> Artifact | None:
        """What is in an artifact: its packages with version, index, hashes and licence; ``None`` where it was removed."""
        ...

    def artifacts(self, *, limit: int = 100, after: str | None = None) -> Page[StoredArtifact]:
        """The artifacts that inspections of the namespace use, newest first."""
        ...

    def files(self, digest: str) -> AbstractContextManager[Path]:
        """A folder with the files of an artifact, to be read, which may be gone when the block is left.

        Of an image the OCI layout; of a wheel, an archive or an Apptainer image the one file. Links to what lies elsewhere may be missing.
        """
        ...

    def observations(
        self,
        reference: str | None = None,
        *,
        kind: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[StoredObservation]:
        """Observations of one inspection or of all, newest first."""
        ...

    def difference(self, a: str, b: str) -> Difference:
        """Only what differs between two inspections."""
        ...

    def events(self, ids: Sequence[str], after: str = "") -> Sequence[Event]:
        """What happened to inspections behind the position ``after``, in order; at most 1,000."""
        ...

    def follow(
        self, ids: Sequence[str], after: str = "", *, tick: float = 0.25, logs: bool = False
    ) -> Iterator[Event | None]:
        """Events as they come; ``None`` every ``tick`` seconds without one and, with ``logs``, when a job wrote. Ends when all are."""
        ...

    def queue(self, reference: str) -> QueuePlace:
        """Where it stands, and when it may start."""
        ...

    def nodes(self) -> Sequence[Node]:
        """Every node of every target."""
        ...

    def usage(self) -> Usage:
        """What the namespace holds, and which quotas are full."""
        ...

    # Secrets and webhooks of the namespace

    def secrets(self) -> Sequence[str]:
        """The names of its secrets; their values are never told."""
        ...

    def set_secret(self, name: str, value: bytes) -> None:
        """Keep a secret, encrypted, in the place of an earlier one of that name."""
        ...

    def remove_secret(self, name: str) -> None:
        """Forget a secret."""
        ...

    def webhooks(self) -> Sequence[Webhook]:
        """Its webhooks, in order of creation."""
        ...

    def add_webhook(self, url: str, events: Sequence[str] = ()) -> tuple[Webhook, str]:
        """A new webhook and the secret by which its messages are signed, which is told only now."""
        ...

    def remove_webhook(self, id_: str) -> None:
        """Tell that address nothing more."""
        ...

    def deliveries(self, webhook: str, *, limit: int = 100) -> Sequence[Delivery]:
        """What it was told last, and what was given up, newest first."""
        ...

    # Working

    def check_parts(self) -> None:
        """Raise ``MissingPartError`` where something without which no work can be done is not there."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Somebody is at work meanwhile: a worker of our own, or the server's."""
        ...

    def wait(self, ids: Sequence[str]) -> Sequence[Inspection]:
        """Until these inspections are final."""
        ...

    def gc(self, *, older_than: float | None = None, dry_run: bool = False) -> Collected:
        """Remove what nothing needs."""
        ...

    def noise(self, *, repeats: int = 20) -> Statistics:
        """Measure the A/A noise floor of this machine by real runs, and keep it."""
        ...
