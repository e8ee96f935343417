"""A PostgreSQL cluster of its own: made from nothing, on a free port, stopped and started at will, and gone afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

__all__ = ["Cluster", "cluster", "find_programs"]

_TEMPLATE = "djed_template"
# All that counts for durability is as a careful administrator has it; the rest is small.
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "deadlock_timeout": "1s",
    "log_min_messages": "error",
}


def find_programs() -> Path | None:
    """The folder of ``initdb`` and its kin: on the PATH, or where Debian puts it."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda path: int(path.parent.name),
        default=None,
    )


class Cluster:
    """A server with its data in a folder. Connections come from loopback or through the socket in the folder; none needs a password."""

    def __init__(self, folder: Path) -> None:
        programs = find_programs()
        assert programs is not None
        self.folder = folder
        self.port = _free_port()
        self._programs = programs
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        self._run(
            "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            **_SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        data, log = self.folder / "data", self.folder / "log"
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "immediate") -> None:
        """Stop the server; ``immediate`` is what a crash is: nothing is put in order."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def url(self, name: str = "postgres", *, socket_: bool = False) -> str:
        """The address of a database, over loopback or the socket."""
        if socket_:
            return f"postgresql://postgres@/{name}?host={self.folder}&port={self.port}"
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, *, template: str = "template0") -> str:
        """A new database; its name."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def create_store(self) -> str:
        """A new database that has the tables of a store; its name."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'"):
            from djed.store.postgres import PostgresDatabase

            self.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
            PostgresDatabase(self.url(_TEMPLATE)).close()
        return self.create(template=_TEMPLATE)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the owner of all; what it returned."""
        import psycopg  # an extra: the other tests do without

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str | Path) -> None:
        command: Sequence[str | Path] = (self._programs / program, *arguments)
        if os.geteuid() == 0:  # which PostgreSQL refuses to be
            command = ("runuser", "-u", "postgres", "--", *command)
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the server
            stderr=subprocess.STDOUT,
            check=False,
            timeout=90,
        )
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(
                f"{program} ended with {done.returncode}: {log.read_text()[-2000:] if log.exists() else ''}"
            )


@contextmanager
def cluster(parent: Path | None = None) -> Iterator[Cluster]:
    """A running server, in ``parent`` or where temporary files are; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="djed-pg-", dir=parent) as folder:  # short: it holds a socket
        server = Cluster(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
