"""The loop of a worker.

Three kinds of work, each batched: inspections that are due take a step of the flow; queued jobs start as far as nodes
have room; attempts that are over are harvested. Between them the worker sleeps until a bell or a descriptor wakes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from djed.config import Config
from djed.errors import DjedError, RunnerError, StoreBusyError, StoreError
from djed.model.hardware import Node
from djed.model.job import Handle
from djed.pipeline import Step
from djed.run.interface import Runner
from djed.store import inspections, job_records, jobs
from djed.store.jobs import Started
from djed.store.store import Store
from djed.toolbox import bell
from djed.worker import account
from djed.worker.context import StoreContext
from djed.worker.counters import Tally
from djed.worker.harvest import Harvest, Harvester, refused
from djed.worker.mover import Mover

__all__ = ["Worker"]

_logger = logging.getLogger(__name__)
_HARVESTERS = 4
_PATIENCE = 1.0
"""Seconds before a worker tries again what could not be done."""


@dataclass(slots=True)
class _Watched:
    """An attempt that we started or adopted and that is not over."""

    started: Started
    handle: Handle
    runner: Runner
    harvesting: bool = False
    cancelled: bool = False
    resting: float = 0.0
    """Monotonic time before which it is not harvested again: it could not be, and may be later."""


class Worker:
    """Does the work of a store until told to stop. Any number may share a store; each has a name of its own."""

    def __init__(
        self,
        store: Store,
        runners: Mapping[str, Runner],
        context: StoreContext,
        config: Config,
        *,
        flow: Mapping[str, Step] | None = None,
        tells: bool = True,
    ) -> None:
        """``tells``: say in the store that it is there, and what it counts; a command's own worker on one machine need not."""
        self.store = store
        self._tells = tells or bool(store.place)
        self.config = config
        self._runners = runners
        self._context = context
        self._harvest = Harvester(store, context)
        self._bell = bell.Bell(store.bells)
        self.name = self._bell.name
        self._tally = Tally(store, self.name)
        self._mover = Mover(store, context, self._tally, name=self.name, flow=flow)
        self._stop = threading.Event()
        self._begun: deque[Started] = deque()
        """Attempts that are ours and not yet known outside."""
        self._watched: dict[str, _Watched] = {}
        self._harvested: list[tuple[_Watched, Harvest]] = []
        self._guard = threading.Lock()
        self._renewed = 0.0
        self._shaken = False
        """Whether the store failed, so that we may not know what became of what we wrote."""

    def stop(self) -> None:
        """End :meth:`run` soon; from any thread. What runs, runs on, and is adopted by the next worker."""
        self._stop.set()
        self._bell.ring()

    def run(self) -> None:
        """Work until stopped."""
        self.store.listen()
        with ThreadPoolExecutor(_HARVESTERS, thread_name_prefix="djed-harvest") as pool:
            try:
                while not self._stop.is_set():
                    try:
                        self._turn(pool)
                    except StoreError as error:
                        if not error.transient:
                            raise
                        # Nothing is lost: leases and attempts wait until the store can be written again.
                        _logger.warning("%s", error)
                        self._shaken = True
                        self._stop.wait(_PATIENCE)
            finally:
                pool.shutdown(wait=True)
                try:
                    self._leave()
                finally:
                    self._bell.close()

    def _leave(self) -> None:
        """Give back what is ours. Where the store is away that is done by time: leases end, results wait with their jobs."""
        try:
            self._write_harvests()
            self._hand_back([self.name])
        except StoreBusyError as error:
            _logger.warning("%s", error)

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        if self._shaken:
            self._recall()
        self._look_after_leases()
        busy = self._mover.move(self._stop)
        busy |= self._start()
        busy |= self._submit_begun()
        busy |= self._poll(pool)
        busy |= self._write_harvests()
        if not busy and not self._stop.is_set():
            self._sleep()

    # Jobs

    def _start(self) -> bool:
        """Begin what nodes have room for."""
        busy = False
        for node in self._context.own_nodes:
            with self.store.database.read() as connection:
                if not job_records.any_queued(connection, node.id):
                    continue
            now = time.time()
            with self.store.change(by=self.name) as connection:
                fresh = jobs.start(
                    connection,
                    owner=self.name,
                    node=node.id,
                    cpus=_cpus(node),
                    memory=node.hardware.memory,
                    now=now,
                    lease=self.config.lease,
                )
                account.tell(connection, fresh, "started", now=now)
            self._tally.started(fresh)
            self._begun += fresh
            busy |= bool(fresh)
        return busy

    def _submit_begun(self) -> bool:
        """Make what was begun or adopted known outside. Where the store fails meanwhile, the next turn repeats it: nothing starts twice."""
        busy = bool(self._begun)
        while self._begun:
            self._submit(self._begun[0])
            self._begun.popleft()
        return busy

    def _submit(self, started: Started) -> None:
        """Start an attempt outside, or find it there."""
        attempt = started.attempt
        runner = self._runners[attempt.job.target]
        try:
            handle = runner.find(attempt) if started.adopted else None
            handle = handle or runner.submit(attempt)
        except RunnerError as error:
            if error.transient and attempt.number < self.config.attempts:
                self._retry(started)
                return
            self._end(started, refused(attempt.job, error))
        except StoreBusyError:  # says nothing of the job
            raise
        except DjedError as error:
            self._end(started, refused(attempt.job, error))
        else:
            self._watched[attempt.name] = _Watched(started=started, handle=handle, runner=runner)

    def _poll(self, pool: ThreadPoolExecutor) -> bool:
        """Cancel what is to be cancelled, and hand what is over to the harvesters."""
        if not self._watched:
            return False
        self._cancel()
        over = 0
        for runner in set(self._runners.values()):
            mine = {
                name: item
                for name, item in self._watched.items()
                if item.runner is runner and not item.harvesting and item.resting <= time.monotonic()
            }
            try:
                statuses = runner.poll([item.handle for item in mine.values()])
            except RunnerError as error:  # a target that does not answer says nothing of its attempts
                _logger.warning("target %s: %s", runner.target, error)
                continue
            for name, status in statuses.items():
                if status.state in {"over", "lost"}:
                    mine[name].harvesting = True
                    pool.submit(self._bring_home, mine[name])
                    over += 1
        return bool(over)

    def _cancel(self) -> None:
        """Pass on what was asked of us; a target that does not answer is asked again at the next turn."""
        with self.store.database.read() as connection:
            names = job_records.cancelled(connection, self.name)
        for watched in (self._watched[name] for name in names if name in self._watched):
            if not watched.cancelled:
                try:
                    watched.runner.cancel(watched.handle)
                    watched.cancelled = True
                except RunnerError as error:
                    _logger.warning("attempt %s cannot be cancelled now: %s", watched.handle.name, error)

    def _bring_home(self, watched: _Watched) -> None:
        """Harvest in a thread of its own. A bug in there fails the job instead of the worker."""
        attempt = watched.started.attempt
        try:
            harvest = self._harvest(watched.runner, attempt, watched.handle)
        except DjedError as error:
            _logger.warning("attempt %s: %s", attempt.name, error, extra={"attempt": attempt.name})
            if error.transient:  # what it left lies where it is; a later poll hands it over again
                watched.resting = time.monotonic() + _PATIENCE
                watched.harvesting = False
                self._bell.ring()
                return
            harvest = refused(attempt.job, error)
        except Exception as error:
            _logger.exception("cannot be harvested: %s", attempt.name, extra={"attempt": attempt.name})
            harvest = refused(
                attempt.job, DjedError(f"Djed failed on this result: {error!r}.", hint="Please report this.")
            )
        with self._guard:
            self._harvested.append((watched, harvest))
        self._bell.ring()

    def _write_harvests(self) -> bool:
        """Write what was harvested; only then is it let go of outside. What cannot be written now is kept for later."""
        with self._guard:
            done, self._harvested = self._harvested, []
        for position, (watched, harvest) in enumerate(done):
            attempt = watched.started.attempt
            again = harvest.lost and attempt.number < self.config.attempts
            try:
                ours = self._retry(watched.started) if again else self._end(watched.started, harvest)
            except StoreError:
                with self._guard:
                    self._harvested += done[position:]
                raise
            if self._watched.get(attempt.name) is watched:  # else we lost it, and adopted it back meanwhile
                del self._watched[attempt.name]
            if ours:
                _release(watched)
        return bool(done)

    def _retry(self, started: Started) -> bool:
        now = time.time()
        with self.store.change(by=self.name) as connection:
            ours = jobs.retry(connection, started, now=now)
            if ours:
                account.tell(connection, [started], "retried", now=now)
        if ours:
            self._tally.retried(started)
        return ours

    def _end(self, started: Started, harvest: Harvest) -> bool:
        now = time.time()
        with self.store.change(by=self.name) as connection:
            if not jobs.finish(
                connection,
                started,
                result=harvest.report,
                failure=harvest.failure,
                state=harvest.state,
                now=now,
                size=harvest.size,
            ):
                _logger.warning("attempt %s: late writer refused", started.attempt.name)
                return False
            harvest.keep(connection, now, place=self.store.place)
            more: dict[str, Any] = {"detail": harvest.detail}
            if harvest.report is not None:
                more["seconds"] = harvest.report["duration"]
            account.tell(connection, [started], harvest.state, now=now, more=more)
        self._tally.ended(started, harvest)
        return True

    # Leases and sleep

    def _look_after_leases(self) -> None:
        """Renew ours, take over those that ran out, and at once those of dead neighbours."""
        now = time.monotonic()
        if self._renewed and now - self._renewed < self.config.lease / 3:
            return
        self._renewed = now
        gone = bell.dead(self.store.bells)
        if gone:
            self._hand_back(gone)
            for name in gone:
                bell.bury(self.store.bells, name)
        with self.store.change(by=self.name) as connection:
            if self._tells:
                self._context.meet(connection, time.time())
                self._tally.beat(connection)
            jobs.renew(connection, self.name, time.time() + self.config.lease)
            adopted = jobs.adopt(
                connection,
                owner=self.name,
                nodes=[node.id for node in self._context.own_nodes],
                now=time.time(),
                lease=self.config.lease,
            )
            if self._tells:
                self._tally.bury_silent(connection, time.time() - self.config.gone)
        self._begun += adopted

    def _recall(self) -> None:
        """After trouble: what was committed without our hearing of it is free again, and what is ours no more is left alone."""
        with self.store.change(by=self.name) as connection:
            known = [*(one.attempt.name for one in self._begun), *self._watched]
            ours = jobs.recall(connection, self.name, known)
            inspections.hand_back(connection, [self.name])
        self._begun = deque(one for one in self._begun if one.attempt.name in ours)
        self._shaken = False

    def _hand_back(self, owners: list[str]) -> None:
        with self.store.change(by=self.name) as connection:
            jobs.hand_back(connection, owners)
            inspections.hand_back(connection, owners)
            if self._tells or owners != [self.name]:
                self._tally.bury(connection, owners)

    def _sleep(self) -> None:
        """Until something changes or a lease wants care. Targets without a descriptor are polled once a second."""
        timeout = max(0.05, self.config.lease / 3 - (time.monotonic() - self._renewed))
        descriptors = []
        for item in self._watched.values():
            if item.harvesting:
                continue
            resting = item.resting > time.monotonic()
            descriptor = None if resting else item.runner.fileno(item.handle)
            if descriptor is None:
                timeout = min(timeout, _PATIENCE)
            else:
                descriptors.append(descriptor)
        self._bell.wait(timeout, descriptors)


def _release(watched: _Watched) -> None:
    """Let go of it outside. Its result is safe, so what cannot be removed now is left to a clean-up."""
    try:
        watched.runner.release(watched.handle)
    except DjedError as error:
        _logger.warning("attempt %s: %s", watched.started.attempt.name, error)


def _cpus(node: Node) -> tuple[int, ...]:
    return node.hardware.cpus or tuple(range(node.hardware.cores))
