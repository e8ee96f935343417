"""What steps and runners may look up, answered from the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from djed.build import Builder, Builders
from djed.build.manifest import check_manifest, stamp
from djed.config import Config
from djed.errors import NotFoundError, UnsafeError
from djed.model.artifact import Artifact
from djed.model.base import parse_base
from djed.model.hardware import Node
from djed.model.inspection import JobRecord
from djed.model.lock import Lock
from djed.store import facts, job_records, nodes
from djed.store.store import Store

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["StoreContext", "StoreMaterials"]

_logger = logging.getLogger(__name__)


class StoreMaterials:
    """What jobs are made of: :class:`djed.run.interface.Materials` over a store."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    def blob(self, digest: str) -> Path:
        """The file with that content. Raises ``NotFoundError``."""
        return self._store.blobs.path(digest)

    def artifact(self, digest: str) -> Path:
        """The folder of an artifact, checked against its manifest. Raises ``NotFoundError``, ``UnsafeError``."""
        with self._store.database.read() as connection:
            artifact = facts.find_artifact(connection, digest, place=self._store.place)
        if artifact is None or not (path := self._store.artifact_path(artifact)).exists():
            self._forget(digest)
            raise NotFoundError(
                f"The artifact {digest} is not there any more.", hint="A retry builds it anew."
            )
        if not check_manifest(path, artifact.manifest, artifact.kind):
            self._forget(digest)
            self._store.discard_packages()
            raise UnsafeError(
                f"The artifact {digest} was changed after it was sealed.",
                hint="It was dropped; a retry builds it anew.",
            )
        return path

    def secret(self, namespace: str, name: str) -> bytes:
        """The value of a secret. Raises ``NotFoundError``, ``UnsafeError``, ``ConfigError``, ``MissingPartError``."""
        from djed.store import secrets

        with self._store.database.read() as connection:
            sealed = secrets.get(connection, namespace, name)
        if sealed is None:
            raise NotFoundError(
                f"There is no secret {name!r} in the namespace {namespace} any more.",
                hint="Store it again, then retry.",
            )
        return secrets.seal_of(self._config).open(sealed, context=secrets.context(namespace, name))

    def _forget(self, digest: str) -> None:
        with self._store.change() as connection:
            facts.drop_artifact(connection, digest, place=self._store.place)


class StoreContext:
    """:class:`djed.pipeline.Context` over a store."""

    def __init__(
        self,
        store: Store,
        config: Config,
        own_nodes: Sequence[Node],
        index_settings: Mapping[str, str],
        *,
        equipped: Callable[[], Sequence[Node]] | None = None,
    ) -> None:
        """``equipped`` gives our own nodes with the container engines that work on them; to find that out takes seconds, once."""
        self.config = config
        self._equipped = equipped
        self.own_nodes = tuple(replace(node, place=store.place) for node in own_nodes)
        self.nodes: Sequence[Node] = self.own_nodes
        self.index_settings = index_settings
        self.builders: Mapping[str, Builder] = Builders()
        self._store = store
        self._told = False

    def find_lock(self, key: str, *, settled: bool) -> Lock | None:
        """A lock that is younger than ``locks.max_age``, or of any age where the answer is settled."""
        with self._store.database.read() as connection:
            found = facts.find_lock(connection, key)
        if found is None or (not settled and time.time() - found[1] > self.config.locks_max_age):
            return None
        return found[0]

    def find_artifact(self, digest: str) -> Artifact | None:
        """A sealed artifact whose files are there. Its manifest is checked when it is used."""
        with self._store.database.read() as connection:
            artifact = facts.find_artifact(connection, digest, place=self._store.place)
        return artifact if artifact and self._store.artifact_path(artifact).exists() else None

    def meet(self, connection: sa.Connection, now: float) -> None:
        """Say that our nodes are there; where other machines share the store, see which are there, too, and which went away."""
        (nodes.seen if self._told else nodes.put)(connection, self.own_nodes, now)
        self._told = True
        if self._store.place:
            from djed.worker.retire import retire

            self._see(connection, now)
            retire(connection, now - self.config.gone)

    def equip(self) -> None:
        """See which container engines work on our own nodes."""
        if self._equipped is None:
            return
        own = tuple(replace(node, place=self._store.place) for node in self._equipped())
        self._equipped = None
        ids = {node.id for node in own}
        self.own_nodes = own
        self.nodes = (*own, *(node for node in self.nodes if node.id not in ids))
        self._told = False  # the next time others are told of us, they are told all of it

    def look_again(self) -> bool:
        """See which nodes are there now; whether it are others than before."""
        if not self._store.place:
            return False
        before = {node.id for node in self.nodes}
        with self._store.database.read() as connection:
            self._see(connection, time.time())
        return {node.id for node in self.nodes} != before

    def _see(self, connection: sa.Connection, now: float) -> None:
        own = {node.id for node in self.own_nodes}
        others = nodes.alive(connection, now - 3 * self.config.lease)
        self.nodes = (*self.own_nodes, *(node for node in others if node.id not in own))

    def load(self, node: str) -> float:
        """Jobs that run on a node or wait for it, for each of its CPUs; not asked where there is no choice."""
        if len(self.nodes) == 1:
            return 0.0
        cores = next(item.hardware.cores for item in self.nodes if item.id == node)
        with self._store.database.read() as connection:
            return nodes.load_of(connection, node) / max(1, cores)

    def stamp(self, base: str) -> str:
        """Of a local file or folder its identity and times, so that it is read again when it changes."""
        found = parse_base(base)
        return stamp(Path(found.name)) if found.local else ""

    def content(self, digest: str) -> bytes:
        """The bytes of a blob."""
        return self._store.blobs.path(digest).read_bytes()

    def has_shebang(self, digest: str) -> bool:
        """Whether a blob begins with ``#!``."""
        with self._store.blobs.path(digest).open("rb") as file:
            return file.read(2) == b"#!"

    def results(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs with their reports."""
        with self._store.database.read() as connection:
            return job_records.of_inspection(connection, [inspection], with_results=True)[inspection]

    def noise_floor(self, node: str) -> float | None:
        """The newest noise floor that was measured on a node."""
        with self._store.database.read() as connection:
            found = facts.page_observations(connection, kind="noise_floor", limit=100)
        return next((item.value["floor"] for item in found.items if item.subject.get("node") == node), None)
