"""The kill -9 loop: workers are killed at random moments while inspections run; afterwards every promise is counted.

Workers are forked from a process that has everything imported, so that a kill hits work and not start-up. The script of each inspection
writes a line into a ledger outside of the store, which tells how often it was really started.
"""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from djed.config import Config, load
from djed.intake.submission import Submission
from djed.model.inspection import FINAL
from djed.model.request import File, Request, Resources, Run
from djed.service import Engine
from djed.store.schema import attempts, inspections, job_uses, jobs
from djed.toolbox.digest import digest_bytes

__all__ = ["KillReport", "kill_loop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KillReport:
    """What the loop counted."""

    kills: int
    inspections: int
    lost: int
    """Accepted inspections that are not in the store any more, or did not succeed."""
    stuck: int
    """Inspections that were not final when a clean worker had had its time."""
    accepted_twice: int
    """Jobs with more than one accepted attempt."""
    started_twice: int
    """Jobs whose script was started more than once."""
    integrity: str
    """``PRAGMA integrity_check``, or what PostgreSQL says of itself."""
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return (
            not (self.lost or self.stuck or self.accepted_twice or self.started_twice)
            and self.integrity == "ok"
        )


def kill_loop(
    data: Path,
    *,
    kills: int,
    workers: int = 2,
    seed: int = 0,
    url: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> KillReport:
    """Kill workers ``kills`` times, 0.2 to 1 s apart, then let one clean worker finish, and count. ``url``: of a database."""
    start = time.monotonic()
    luck = random.Random(seed)  # noqa: S311 (a reproducible schedule, no secret)
    ledger = data / "ledger"
    ledger.mkdir(parents=True)
    settings = {"data": str(data / "store"), "worker.lease": "2s", **({"store": url} if url else {})}
    config = load(settings, environ={})
    with _engine(config) as engine:
        with engine.working():  # the environment is built before the first kill: runs are what is to be hit
            pass
        submitted = _submit(engine, ledger, 8)
    children = [_fork(config) for _ in range(workers)]
    for count in range(kills):
        time.sleep(luck.uniform(0.2, 1.0))
        victim = luck.randrange(workers)
        os.kill(children[victim], signal.SIGKILL)
        os.waitpid(children[victim], 0)
        children[victim] = _fork(config)
        with _engine(config) as engine:
            missing = 8 - len(engine.page(states=["queued", "locking", "building", "running"], limit=8).items)
            submitted += _submit(engine, ledger, missing)
        if progress is not None:
            progress(count + 1)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return _count(config, ledger, submitted, kills=kills, start=start)


def _engine(config: Config) -> Engine:
    return Engine.open(config, levels=("none",))  # the script must reach the ledger


def _submit(engine: Engine, ledger: Path, count: int) -> list[str]:
    if count <= 0:
        return []
    return [item.id for item in engine.submit([_submission(ledger) for _ in range(count)])]


def _submission(ledger: Path) -> Submission:
    """A script that signs the ledger with the name of its job directory, and takes a moment."""
    text = f'#!/bin/sh\nbasename "$(dirname "$PWD")" >> {ledger}/starts\nsleep 0.1\n'.encode()
    script = File(path="sign.sh", digest=digest_bytes(text), size=len(text))
    request = Request(name="kill", run=Run(script=script, resources=Resources(cpu=1)))
    return Submission(request=request, contents={digest_bytes(text): text})


def _fork(config: Config) -> int:
    child = os.fork()
    if child:
        return child
    try:
        with _engine(config) as engine, engine.working():
            signal.pause()
    except BaseException:  # noqa: BLE001 (a forked child must never return into its parent's code)
        traceback.print_exc()
    os._exit(1)


def _count(config: Config, ledger: Path, submitted: list[str], *, kills: int, start: float) -> KillReport:
    deadline = time.monotonic() + 60
    with _engine(config) as engine:
        with engine.working():
            for _ in engine.follow(submitted):
                if time.monotonic() > deadline:
                    break
        with engine.store.database.read() as connection:
            rows = {
                row.id: row.state
                for row in connection.execute(sa.select(inspections.c.id, inspections.c.state))
            }
            good = set(
                connection.execute(
                    sa.select(inspections.c.id).where(inspections.c.outcome == "succeeded")
                ).scalars()
            )
            accepted = Counter(
                connection.execute(sa.select(attempts.c.job).where(attempts.c.state == "accepted")).scalars()
            )
            used = set(connection.execute(sa.select(job_uses.c.job)).scalars())
            over = set(connection.execute(sa.select(jobs.c.id).where(jobs.c.state == "succeeded")).scalars())
        starts = Counter(name.rpartition("-")[0] for name in (ledger / "starts").read_text().split())
        stuck = [id_ for id_ in submitted if rows.get(id_) not in FINAL]
        lost = [id_ for id_ in submitted if id_ not in rows or (rows[id_] in FINAL and id_ not in good)]
        return KillReport(
            kills=kills,
            inspections=len(submitted),
            lost=len(lost),
            stuck=len(stuck) + len(used - over),
            accepted_twice=sum(count > 1 for count in accepted.values()),
            started_twice=sum(count > 1 for count in starts.values()),
            integrity=engine.store.database.integrity(),
            seconds=time.monotonic() - start,
        )
