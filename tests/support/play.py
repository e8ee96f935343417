"""A worker that is played: it writes into the store and into job directories what followers are to see, when the test wants it."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa

from djed.model.inspection import Inspection
from djed.model.job import JobState
from djed.model.principal import DEFAULT_NAMESPACE
from djed.store import events, jobs
from djed.store.jobs import Started
from djed.store.schema import inspections
from djed.store.store import Store
from djed.worker import account
from tests.support import engine

__all__ = ["Play"]


class Play:
    """One inspection with one job at a time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.inspection: Inspection = engine.inspection()
        engine.add(store, self.inspection)

    @property
    def id(self) -> str:
        """Of the inspection."""
        return self.inspection.id

    def happens(self, kind: str = "note", **data: object) -> None:
        """An event."""
        with self.store.change() as connection:
            events.add(connection, [(self.id, kind, data, time.time(), DEFAULT_NAMESPACE)])

    def begin(self, role: str = "run:0") -> Started:
        """A new job, and its first attempt."""
        engine.attach(self.store, self.id, engine.job(role))
        return self.start()

    def start(self) -> Started:
        """The next attempt of the job that waits."""
        (started,) = engine.start(self.store, now=time.time())
        self._tell(started, "started")
        self.folder(started).mkdir(parents=True)
        return started

    def write(self, started: Started, data: bytes, stream: str = "stdout") -> None:
        """What the job says."""
        with (self.folder(started) / stream).open("ab") as file:
            file.write(data)

    def end(self, started: Started, state: JobState = "succeeded") -> None:
        """The job is over; what it wrote is in the blobs, and its directory goes."""
        report = {}
        for stream in ("stdout", "stderr"):
            file = self.folder(started) / stream
            if file.exists():
                report[f"{stream}_digest"] = self.store.blobs.put(file.read_bytes())
        with self.store.change() as connection:
            assert jobs.finish(connection, started, result=report, failure=None, state=state, now=time.time())
            account.tell(connection, [started], state, now=time.time())
        self._release(started)

    def lose(self, started: Started) -> None:
        """The attempt is lost; the job waits for another one."""
        with self.store.change() as connection:
            assert jobs.retry(connection, started, now=time.time())
            account.tell(connection, [started], "retried", now=time.time())
        self._release(started)

    def done(self) -> None:
        """The inspection is final."""
        with self.store.change() as connection:
            connection.execute(
                sa.update(inspections)
                .where(inspections.c.id == self.id)
                .values(state="done", outcome="succeeded", due=None)
            )
        self.happens("done", state="done", outcome="succeeded")

    def folder(self, started: Started) -> Path:
        """The job directory."""
        return self.store.attempts / started.attempt.name

    def _tell(self, started: Started, state: str) -> None:
        with self.store.change() as connection:
            account.tell(connection, [started], state, now=time.time())

    def _release(self, started: Started) -> None:
        for file in self.folder(started).iterdir():
            file.unlink()
        self.folder(started).rmdir()
