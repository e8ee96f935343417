"""Wake-ups between machines that share a PostgreSQL database: ``NOTIFY`` there, bells (:mod:`djed.toolbox.bell`) on each machine.

One process of a data folder relays for all of its processes: what rings here is told to the database, what other machines tell rings here.
To tell takes a lock that all commits of the database share (https://www.postgresql.org/docs/current/sql-notify.html), so it is done once
for all that was committed meanwhile, in a transaction of its own.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from djed.toolbox.bell import Bell, ring

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.store.postgres import PostgresDatabase

__all__ = ["Relay", "relayed", "tell"]

_CHANNEL = "djed"
_LOCK = "relay"
"""Name of the file in the folder of bells that the one who relays holds locked."""
_logger = logging.getLogger(__name__)
_GAP = 0.01
"""Seconds between two messages at least."""
_SILENCE = 30.0
"""Seconds after which something is told anyway: that finds a connection that broke without a word."""
_STANDBY = 1.0
"""Seconds after which another process takes over from one that is gone."""
_LONGEST = 5.0
"""Seconds between two attempts to reach the database at most."""


def tell(connection: sa.Connection, place: str) -> None:
    """Tell the other machines with the commit of this transaction."""
    connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (_CHANNEL, place))


def relayed(bells: Path) -> bool:
    """Whether a process relays for this data folder, so that what rings here is told without us.

    Were it to end just now, its successor tells what went; without one, other machines look when they look after their leases.
    """
    try:
        with _first(bells / _LOCK) as free:
            return not free
    except FileNotFoundError:  # nobody ever waited here
        return False


class Relay:
    """A thread that relays for this data folder, or stands by while another process does."""

    def __init__(self, database: PostgresDatabase, *, bells: Path, place: str) -> None:
        self._database = database
        self._bells = bells
        self._place = place
        self._bell = Bell(bells)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="djed-relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._bell.ring()
        self._thread.join()
        self._bell.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with _first(self._bells / _LOCK) as first:
                if first:
                    self._keep_up()
            self._stop.wait(_STANDBY)

    def _keep_up(self) -> None:
        """Relay until stopped, with a new connection whenever one breaks."""
        import psycopg

        pause = 0.1
        while not self._stop.is_set():
            try:
                with self._database.connect() as connection:
                    connection.execute("SET synchronous_commit TO off")  # nothing of it must survive
                    connection.execute(f"LISTEN {_CHANNEL}")
                    pause = 0.1
                    ring(self._bells)  # what came while nobody listened; ours too, so that we tell what went
                    self._relay(connection)
            except psycopg.Error as error:
                _logger.info("the wake-ups of other machines: %s", str(error).strip())
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST)

    def _relay(self, connection: Any) -> None:
        while not self._stop.is_set():
            heard = self._bell.wait(_SILENCE, [connection.fileno()])
            if self._stop.is_set():
                return
            if self._bell.rung or not heard:
                connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, self._place))
            # What comes with the answer to that would not be announced again: so both are read at once.
            told = [notice.payload for notice in connection.notifies(timeout=0)]
            if any(place != self._place for place in told):
                ring(self._bells, but=self._bell.name)
            time.sleep(_GAP)


@contextmanager
def _first(path: Path) -> Iterator[bool]:
    """Whether no other process has this file; it is ours meanwhile, and free again even after ``kill -9``."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
