"""What a service does for itself from time to time: retention, old keys and uploads, and the clean-up after them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Self

from djed.config import Config
from djed.errors import DjedError
from djed.store import answers
from djed.store.store import Store
from djed.worker.retention import retain
from djed.worker.sweep import sweep

__all__ = ["Upkeep", "tidy"]

_logger = logging.getLogger(__name__)


def tidy(store: Store, config: Config) -> int:
    """Do all of it once; how many inspections went. What has no user goes first, then inspections, then what only they used."""
    now = time.time()
    with store.change() as connection:
        answers.drop_old(
            connection,
            keys_before=now - config.idempotency_max_age,
            uploads_before=now - config.idempotency_max_age,
        )
    sweep(store, config, older_than=None, dry_run=False)
    removed = retain(store, config)
    if removed:
        sweep(store, config, older_than=None, dry_run=False)
    return removed


class Upkeep:
    """Tidies every ``retention.every`` seconds, in a thread, from entering it until leaving it."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="djed-upkeep", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._config.retention_every):
            try:
                removed = tidy(self._store, self._config)
            except DjedError as error:  # the next time will do
                _logger.warning("cannot tidy up: %s", error)
            else:
                if removed:
                    _logger.info("removed %d inspections that are not kept any longer", removed)
