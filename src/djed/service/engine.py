"""The engine: the facade that every door uses."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from djed.config import Config
from djed.errors import ConflictError, RequestError
from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.inspection import Event, Inspection, JobRecord
from djed.model.request import Build, File, Request, Run, SandboxLevel
from djed.model.summary import Collected, StoredObservation, Summary
from djed.store import events, facts, inspections, job_records, jobs
from djed.store.follow import follow
from djed.store.store import Store
from djed.toolbox.digest import digest_json

if TYPE_CHECKING:
    from types import TracebackType

    import sqlalchemy as sa

    from djed.intake.submission import Submission
    from djed.model.hardware import Node
    from djed.model.observation import Statistics
    from djed.run.interface import Runner

__all__ = ["Engine"]

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none is taken for another
_ID_LENGTH = 12


class Engine:
    """Inspections in a store, and the worker that does them. A context manager; safe for threads.

    What only some methods need (runners, builders, statistics) is imported there: a list must not wait for it.
    """

    def __init__(self, config: Config, store: Store, levels: Sequence[SandboxLevel] | None = None) -> None:
        self.config = config
        self.store = store
        self._levels = levels
        self._runners: dict[str, Runner] | None = None
        self._broken: BaseException | None = None
        """What ended the worker before its time."""

    @classmethod
    def open(cls, config: Config, *, levels: Sequence[SandboxLevel] | None = None) -> Self:
        """The engine on the store of these settings, which is made if need be. Raises ``StoreError`` and its kin.

        ``levels`` narrows the sandbox levels that the local runner may choose from.
        """
        return cls(config, Store(config.data), levels)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Asking

    def submit(self, submissions: Sequence[Submission], *, fresh: bool = False) -> Sequence[Inspection]:
        """Accept requests; once this returns they are durable. Those submitted together interleave their repeats.

        ``fresh``: do all anew, whatever the requests say of reuse. Raises ``RequestError``, ``StoreError``.
        """
        requests = [replace(item.request, reuse="nothing") if fresh else item.request for item in submissions]
        for request in requests:
            _check_hardware(request)
        for submission in submissions:
            for content in submission.contents.values():
                self.store.blobs.put(content)
        for request in requests:
            self._check_files(request)
        return self._add(requests)

    def retry(self, reference: str) -> Inspection:
        """A new inspection of the same request."""
        request = self.get(reference).request
        self._check_files(request)
        return self._add([request])[0]

    def cancel(self, reference: str) -> Inspection:
        """Ask for cancellation; it is final when :meth:`get` says so. Raises ``ConflictError`` if it is final already."""
        with self.store.change() as connection:
            id_ = inspections.find(connection, reference)
            if not inspections.flag_cancel(connection, id_):
                raise ConflictError(
                    f"The inspection {id_} is {inspections.get(connection, id_).state} already."
                )
            events.add(connection, [(id_, "cancel", {}, time.time())])
            return inspections.get(connection, id_)

    def remove(self, references: Sequence[str]) -> int:
        """Forget final inspections. Their observations stay: they are evidence. Raises ``ConflictError``, and then removes none."""
        with self.store.change() as connection:
            ids = {inspections.find(connection, reference) for reference in references}
            for id_ in ids:
                inspections.remove(connection, id_)
            jobs.remove_unused(connection)
        return len(ids)

    # Looking

    def get(self, reference: str) -> Inspection:
        """By id, unique beginning of one, ``latest``, or name (its newest). Raises ``NotFoundError``, ``ConflictError``."""
        with self.store.database.read() as connection:
            return inspections.get(connection, inspections.find(connection, reference))

    def list(
        self, *, states: Sequence[str] = (), name: str | None = None, limit: int = 50
    ) -> Sequence[Summary]:
        """Inspections in short, newest first. ``states`` may hold states and outcomes."""
        with self.store.database.read() as connection:
            return inspections.summaries(connection, states=states, name=name, limit=limit)

    def jobs(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs of an inspection with their reports, in the order in which they were made."""
        with self.store.database.read() as connection:
            id_ = inspections.find(connection, inspection)
            return job_records.of_inspection(connection, [id_], with_results=True)[id_]

    def artifact(self, digest: str) -> Artifact | None:
        """What is in an artifact: its packages with version, index, hashes and licence; ``None`` where it was removed."""
        with self.store.database.read() as connection:
            return facts.find_artifact(connection, digest)

    def observations(self, reference: str | None = None, limit: int = 1000) -> Sequence[StoredObservation]:
        """Observations of one inspection or of all, newest first."""
        with self.store.database.read() as connection:
            id_ = inspections.find(connection, reference) if reference is not None else None
            return facts.list_observations(connection, inspection=id_, limit=limit)

    def events(self, ids: Sequence[str], after: int = 0) -> Sequence[Event]:
        """What happened to inspections behind event ``after``, in order."""
        with self.store.database.read() as connection:
            return events.after(connection, ids, after)

    def follow(
        self, ids: Sequence[str], after: int = 0, *, tick: float = 0.25, logs: bool = False
    ) -> Iterator[Event | None]:
        """Events as they come; ``None`` every ``tick`` seconds without one and, with ``logs``, when a job wrote.

        Ends when all are final, or our worker is broken.
        """
        return follow(self.store, ids, after, tick=tick, logs=logs, broken=lambda: self._broken is not None)

    def log(self, job: str, stream: str = "stdout", offset: int = 0) -> bytes:
        """What a job wrote so far from ``offset`` on, whether it runs or is over."""
        with self.store.database.read() as connection:
            current = job_records.current(connection, job)
        if current is None:
            return b""
        attempt, report = current
        if report is not None:
            digest = report.get(f"{stream}_digest")
            return self.store.blobs.get(digest)[offset:] if digest else b""
        runner = self.runners()[attempt.job.target]
        handle = runner.find(attempt)
        return b"".join(runner.logs(handle, stream, offset)) if handle else b""

    def nodes(self) -> Sequence[Node]:
        """Every node of every target."""
        return [node for runner in self.runners().values() for node in runner.nodes()]

    # Working

    def runners(self) -> dict[str, Runner]:
        """The runner of each target."""
        if self._runners is None:
            from djed.run.local import LocalRunner
            from djed.worker.context import StoreMaterials

            local = LocalRunner(
                self.store.attempts, StoreMaterials(self.store), config=self.config, levels=self._levels
            )
            self._runners = {local.target: local}
        return self._runners

    def check_parts(self) -> None:
        """Raise ``MissingPartError`` where something without which no work can be done is not on this machine."""
        from djed.toolbox.parts import find_uv

        find_uv(self.config)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker in a thread meanwhile. Leaving hands unfinished work back; running jobs go on and are adopted later.

        Raises, when left, what broke the worker: ``StoreError`` where the store cannot be written any more.
        """
        from djed.build.base import uv_settings
        from djed.worker import Worker
        from djed.worker.context import StoreContext

        self.check_parts()
        context = StoreContext(self.store, self.config, self.nodes(), uv_settings(os.environ))
        worker = Worker(self.store, self.runners(), context, self.config)
        self._broken = None

        def work() -> None:
            try:
                worker.run()
            except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
                self._broken = error

        thread = threading.Thread(target=work, name="djed-worker")
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join()
        if self._broken is not None:
            raise self._broken

    def wait(self, ids: Sequence[str]) -> Sequence[Inspection]:
        """Work until these inspections are final."""
        with self.working():
            for _ in self.follow(ids):
                pass
        return [self.get(id_) for id_ in ids]

    # Housekeeping

    def gc(self, *, older_than: float | None = None, dry_run: bool = False) -> Collected:
        """Remove what nothing needs: see :mod:`djed.worker.sweep`."""
        from djed.worker.sweep import sweep

        return sweep(self.store, self.config, older_than=older_than, dry_run=dry_run)

    def noise(self, *, repeats: int = 20) -> Statistics:
        """Measure the A/A noise floor of this machine by real runs, and keep it: see :mod:`djed.worker.noise`."""
        from djed.worker import noise

        submission = noise.submission(repeats)
        found = self.wait([item.id for item in self.submit([submission, submission])])
        return noise.keep(self.store, found)

    def _check_files(self, request: Request) -> None:
        """Every file of a request must be in the store before the request is accepted."""
        script = request.run.script if request.run else None
        for file in (*request.environment.files, script):
            if isinstance(file, File) and file.digest:
                self.store.blobs.path(file.digest)

    def _add(self, requests: Sequence[Request]) -> Sequence[Inspection]:
        now = time.time()
        digests = [_request_digest(request) for request in requests]
        with self.store.change() as connection:
            new = [
                self._new(connection, request, digest, now)
                for request, digest in zip(requests, digests, strict=True)
            ]
            inspections.add(connection, new, digests=digests)
        return new

    def _new(self, connection: sa.Connection, request: Request, digest: str, now: float) -> Inspection:
        """A queued inspection, or one that an identical earlier one answers (``reuse: result``)."""
        id_ = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        fresh = Inspection(
            id=id_, name=request.name, state="queued", request=request, created_at=now, updated_at=now
        )
        known = inspections.answer_by(connection, digest) if request.reuse == "result" else None
        if known is None:
            return fresh
        return replace(
            known,
            id=id_,
            name=request.name,
            request=request,
            created_at=now,
            updated_at=now,
            reused=known.reused or known.id,
        )


def _check_hardware(request: Request) -> None:
    """Intake knows the shape of a requirement; which words mean something is known here. Raises ``RequestError``."""
    from djed.plan.check import check_requirement, check_resources

    sections: list[tuple[str, Build | Run]] = [("build", request.build)]
    if request.run is not None:
        sections.append(("run", request.run))
    faults = [
        fault
        for name, section in sections
        for fault in (
            *check_requirement(section.hardware, f"{name}.hardware"),
            *check_resources(section.resources, f"{name}.resources"),
        )
    ]
    if faults:
        raise RequestError(
            f"{faults[0].path}: {faults[0].message}.", faults=tuple(faults), hint=faults[0].hint
        )


def _request_digest(request: Request) -> str:
    """Of all that decides the result: not of name, labels, priority and reuse."""
    return digest_json(encode(replace(request, name="inspection", labels={}, priority=0, reuse="artifact")))
