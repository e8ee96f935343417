"""Where the engine's work is done on this machine: its runners, and the worker in a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from djed.errors import NotFoundError
from djed.store.store import Store

if TYPE_CHECKING:
    from djed.config import Config
    from djed.model.hardware import Node
    from djed.model.job import Attempt
    from djed.model.request import SandboxLevel
    from djed.run.interface import Runner

__all__ = ["Works"]

_STREAMS = ("stdout", "stderr")
_MEMORY = 30 * 86_400
"""Seconds for which an attempt that was given up is looked for; none runs that long."""


class Works:
    """The runners and the worker of this process; shared by all views on an engine."""

    def __init__(self, store: Store, config: Config, levels: Sequence[SandboxLevel] | None) -> None:
        self._store = store
        self._config = config
        self._levels = levels
        self._guard = threading.Lock()
        self._runners: dict[str, Runner] | None = None
        self.broken: BaseException | None = None
        """What ended the worker before its time."""

    def runners(self) -> dict[str, Runner]:
        """The runner of each target."""
        with self._guard:
            if self._runners is None:
                from djed.model.engine import ENGINE_TARGETS
                from djed.run.local import LocalRunner
                from djed.worker.context import StoreMaterials

                local = LocalRunner(
                    self._store.attempts,
                    StoreMaterials(self._store, self._config),
                    config=self._config,
                    levels=self._levels,
                )
                self._runners = dict.fromkeys((local.target, *ENGINE_TARGETS), local)
            return self._runners

    def own_nodes(self) -> list[Node]:
        """The nodes that this machine's runners have."""
        return [node for runner in set(self.runners().values()) for node in runner.nodes()]

    def equipped(self) -> list[Node]:
        """The same, with the container engines that work on them."""
        for runner in set(self.runners().values()):
            runner.equip()
        return self.own_nodes()

    def nodes(self) -> Sequence[Node]:
        """Ours, and those of which other workers told lately."""
        from djed.store import nodes

        own = self.own_nodes()
        ids = {node.id for node in own}
        with self._store.database.read() as connection:
            others = nodes.alive(connection, time.time() - 3 * self._config.lease)
        return [*own, *(node for node in others if node.id not in ids)]

    def log(self, current: tuple[Attempt, Any], stream: str, offset: int, limit: int | None) -> bytes:
        """A part of what an attempt wrote: of its blob when it is over, else of its job directory or of what its worker sent."""
        if stream not in _STREAMS:
            raise NotFoundError(f"There is no stream {stream!r}; there are {' and '.join(_STREAMS)}.")
        attempt, report = current
        if report is not None:
            digest = report.get(f"{stream}_digest")
            return self._store.blobs.part(digest, offset, limit) if digest else b""
        if self._store.place and not (self._store.attempts / attempt.name).is_dir():
            from djed.store.logs import shipped

            with self._store.database.read() as connection:
                return shipped(connection, attempt.name, stream, offset=offset, limit=limit)
        runner = self.runners()[attempt.job.target]
        handle = runner.find(attempt)
        if handle is None:
            return b""
        found = b""
        for chunk in runner.logs(handle, stream, offset):
            found += chunk
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def _end_stragglers(self, own: Sequence[str]) -> None:
        """End what runs on here although it was given up: this machine was silent for so long that others took over."""
        from djed.worker.retire import stragglers

        with self._store.database.read() as connection:
            given_up = stragglers(connection, own, time.time() - _MEMORY)
        for attempt in given_up:
            runner = self.runners().get(attempt.job.target)
            handle = runner.find(attempt) if runner else None
            if runner and handle:
                runner.cancel(handle)

    @contextmanager
    def working(self, *, tells: bool) -> Iterator[None]:
        """A worker in a thread meanwhile, which ``tells`` others of itself or not. Raises, when left, what broke it."""
        from djed.build.base import uv_settings
        from djed.worker import Worker
        from djed.worker.context import StoreContext

        own = self.own_nodes()
        if self._store.place:
            self._end_stragglers([node.id for node in own])
        context = StoreContext(
            self._store, self._config, own, uv_settings(os.environ), equipped=self.equipped
        )
        worker = Worker(self._store, self.runners(), context, self._config, tells=tells)
        self.broken = None

        def work() -> None:
            try:
                worker.run()
            except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
                self.broken = error

        thread = threading.Thread(target=work, name="djed-worker")
        thread.start()
        try:
            yield
        finally:
            worker.stop()
            thread.join()
        if self.broken is not None:
            raise self.broken
