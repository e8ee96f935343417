"""The engine's reading half: what is in one namespace of a store."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from djed.config import Config
from djed.errors import NotFoundError, UnsafeError
from djed.model.artifact import Artifact
from djed.model.inspection import AttemptRecord, Event, Inspection, JobRecord
from djed.model.principal import Principal
from djed.model.request import SandboxLevel
from djed.model.summary import Page, Sort, StoredArtifact, StoredObservation, Summary
from djed.service.works import Works
from djed.store import events, facts, job_records, lookup
from djed.store.follow import follow
from djed.store.store import Store

if TYPE_CHECKING:
    from types import TracebackType

    import sqlalchemy as sa

    from djed.model.access import Usage
    from djed.model.difference import Difference
    from djed.model.hardware import Node
    from djed.model.preview import QueuePlace

__all__ = ["LOCAL", "Looking"]

LOCAL = "local"
"""The principal of the command line. What it does on its own machine is not recorded."""


class Looking:
    """What the engine shows of the inspections of one namespace."""

    def __init__(self, config: Config, store: Store, levels: Sequence[SandboxLevel] | None = None) -> None:
        self.config = config
        self.store = store
        self.principal = Principal(name=LOCAL, namespace=config.namespace, scope="admin")
        self.works = Works(store, config, levels)

    @classmethod
    def open(cls, config: Config, *, levels: Sequence[SandboxLevel] | None = None) -> Self:
        """The engine on the store of these settings, which is made if need be. Raises ``StoreError`` and its kin.

        ``levels`` narrows the sandbox levels that the local runner may choose from.
        """
        return cls(config, Store.open(config), levels)

    def acting(self, principal: Principal) -> Self:
        """The same engine in the name of another, who sees only the inspections of his namespace."""
        other = copy.copy(self)
        other.principal = principal
        return other

    @property
    def namespace(self) -> str:
        """The namespace that is seen."""
        return self.principal.namespace

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, reference: str) -> Inspection:
        """By id, unique beginning of one, ``latest``, or name (its newest). Raises ``NotFoundError``, ``ConflictError``."""
        with self.store.database.read() as connection:
            return lookup.get(connection, self._find(connection, reference))

    def page(
        self,
        *,
        states: Sequence[str] = (),
        name: str | None = None,
        sort: Sort = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Summary]:
        """Inspections in short. ``states`` may hold states and outcomes; ``after`` is the cursor of the page before."""
        with self.store.database.read() as connection:
            return lookup.page(
                connection, self.namespace, states=states, name=name, sort=sort, limit=limit, after=after
            )

    def jobs(self, inspection: str, *, reports: bool = True) -> Sequence[JobRecord]:
        """The jobs of an inspection with their reports, in the order in which they were made.

        A report may have megabytes, an inspection a thousand of them: who needs none says so.
        """
        with self.store.database.read() as connection:
            id_ = self._find(connection, inspection)
            return job_records.of_inspection(connection, [id_], with_results=reports)[id_]

    def job(self, inspection: str, role: str) -> JobRecord:
        """One job of an inspection with its report. Raises ``NotFoundError``."""
        with self.store.database.read() as connection:
            id_ = self._find(connection, inspection)
            found = job_records.of_inspection(connection, [id_], with_results=True, role=role)[id_]
        if not found:
            raise NotFoundError(f"The inspection {inspection} has no job {role!r}.")
        # A job may have been made anew under its role: the newest counts.
        return found[-1]

    def attempts(self, inspection: str) -> Sequence[AttemptRecord]:
        """Every attempt of its jobs, in order of start."""
        with self.store.database.read() as connection:
            return job_records.all_attempts(connection, self._find(connection, inspection))

    def log(self, job: str, stream: str = "stdout", offset: int = 0, limit: int | None = None) -> bytes:
        """What a job wrote so far from ``offset`` on, at most ``limit`` bytes, whether it runs or is over. Raises ``NotFoundError``."""
        with self.store.database.read() as connection:
            if not job_records.seen_by(connection, job, self.namespace):
                raise NotFoundError(f"There is no job {job!r}.")
            current = job_records.current(connection, job)
        return self.works.log(current, stream, offset, limit) if current else b""

    def output(self, inspection: str, role: str, path: str) -> AbstractContextManager[BinaryIO]:
        """A file that a job left in its outputs, to be read. Raises ``NotFoundError``."""
        outputs = (self.job(inspection, role).result or {}).get("outputs") or ()
        digest = next((item["digest"] for item in outputs if item["path"] == path), None)
        if digest is None:
            raise NotFoundError(f"The job {role!r} left no file {path!r}.")
        return self.store.blobs.path(digest).open("rb")

    def artifact(self, digest: str) -> Artifact | None:
        """What is in an artifact: its packages with version, index, hashes and licence; ``None`` where it was removed."""
        with self.store.database.read() as connection:
            if not facts.uses_artifact(connection, self.namespace, digest):
                return None
            return facts.find_artifact(connection, digest)

    def artifacts(self, *, limit: int = 100, after: str | None = None) -> Page[StoredArtifact]:
        """The artifacts that inspections of the namespace use."""
        with self.store.database.read() as connection:
            return facts.page_artifacts(connection, self.namespace, limit=limit, after=after)

    @contextmanager
    def files(self, digest: str) -> Iterator[Path]:
        """The folder of an artifact on this machine. Raises ``NotFoundError``, ``UnsafeError`` where it was changed."""
        from djed.build.manifest import check_manifest

        artifact = self.artifact(digest)
        if artifact is None:
            raise NotFoundError(
                f"There is no artifact {digest}.", hint="It may have been removed by: djed gc"
            )
        folder = self.store.artifact_path(artifact)
        if not folder.is_dir():
            raise NotFoundError(f"The files of the artifact {digest} are not on this machine.")
        if not check_manifest(folder, artifact.manifest, artifact.kind):
            raise UnsafeError(f"The artifact {digest} was changed after it was sealed.")
        yield folder

    def observations(
        self,
        reference: str | None = None,
        *,
        kind: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[StoredObservation]:
        """Observations of one inspection or of all, newest first."""
        with self.store.database.read() as connection:
            id_ = self._find(connection, reference) if reference is not None else None
            return facts.page_observations(
                connection, namespace=self.namespace, inspection=id_, kind=kind, limit=limit, after=after
            )

    def difference(self, a: str, b: str) -> Difference:
        """Only what differs between two inspections. Raises ``RequestError`` where they are one."""
        from djed.service.difference import between

        return between(self, a, b)

    def events(self, ids: Sequence[str], after: str = "") -> Sequence[Event]:
        """What happened to inspections behind the position ``after``, in order."""
        with self.store.database.read() as connection:
            return events.after(connection, self._ours(connection, ids), after)

    def follow(
        self, ids: Sequence[str], after: str = "", *, tick: float = 0.25, logs: bool = False
    ) -> Iterator[Event | None]:
        """Events as they come; ``None`` every ``tick`` seconds without one and, with ``logs``, when a job wrote.

        Ends when all are final, or our worker is broken.
        """
        with self.store.database.read() as connection:
            ids = self._ours(connection, ids)
        return follow(
            self.store, ids, after, tick=tick, logs=logs, broken=lambda: self.works.broken is not None
        )

    def queue(self, reference: str) -> QueuePlace:
        """Where it stands, and when it may start."""
        from djed.store.queue import place_of

        cpus = sum(node.hardware.cores for node in self.nodes())
        with self.store.database.read() as connection:
            item = lookup.get(connection, self._find(connection, reference))
            return place_of(connection, item, cpus=cpus, now=time.time())

    def nodes(self) -> Sequence[Node]:
        """Every node of every target: of this machine, and those of which other workers tell."""
        return self.works.nodes()

    def usage(self) -> Usage:
        """What the namespace holds, and which quotas are full."""
        from djed.store import fairness

        with self.store.database.read() as connection:
            return fairness.usage(connection, self.namespace)

    # Within

    def _find(self, connection: sa.Connection, reference: str) -> str:
        return lookup.find(connection, reference, namespace=self.namespace)

    def _ours(self, connection: sa.Connection, ids: Sequence[str]) -> list[str]:
        return [self._find(connection, id_) for id_ in ids]
