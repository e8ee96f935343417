"""What a step may look up, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from djed.build import Builder
from djed.config import Config
from djed.model.artifact import Artifact
from djed.model.hardware import Node
from djed.model.inspection import JobRecord
from djed.model.job import NewJob
from djed.model.lock import Lock
from djed.model.observation import Observation

__all__ = ["Context", "Move"]


class Context(Protocol):
    """What a step may look up. Answers are facts of the moment; a step that is repeated asks again."""

    config: Config
    nodes: Sequence[Node]
    """All that are there, of whichever machine."""
    builders: Mapping[str, Builder]
    index_settings: Mapping[str, str]
    """What the environment tells uv about indexes; part of what decides a lock."""

    def find_lock(self, key: str, *, settled: bool) -> Lock | None:
        """A lock that may still answer that question; of any age where the answer is ``settled``."""
        ...

    def find_artifact(self, digest: str) -> Artifact | None:
        """A sealed artifact, there and untouched."""
        ...

    def look_again(self) -> bool:
        """See which nodes are there now; whether it are others than before."""
        ...

    def equip(self) -> None:
        """See which container engines work on our own nodes, which is not looked for before somebody needs one."""
        ...

    def load(self, node: str) -> float:
        """Jobs that run on a node or wait for it, for each of its CPUs."""
        ...

    def stamp(self, base: str) -> str:
        """What tells one state of a base that lies on this machine from another; empty where it is the host or only a name.

        Raises ``RefusedError`` where it is not there.
        """
        ...

    def content(self, digest: str) -> bytes:
        """The bytes of a file of a request. Raises ``NotFoundError``."""
        ...

    def has_shebang(self, digest: str) -> bool:
        """Whether a script names its interpreter itself."""
        ...

    def results(self, inspection: str) -> Sequence[JobRecord]:
        """The jobs of an inspection with the reports of their accepted attempts."""
        ...

    def noise_floor(self, node: str) -> float | None:
        """The A/A noise floor of a node, where it was measured."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """What a step decided."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the inspection that change."""
    jobs: tuple[NewJob, ...] = ()
    cached: tuple[tuple[str, str], ...] = ()
    """Role and detail of what needed no job."""
    observations: tuple[Observation, ...] = ()
    uses: tuple[str, ...] = ()
    """Digests of artifacts that the inspection uses from now on, beside its environment."""
    park: bool = False
    """Wait until one of its jobs is over."""
    cancel: bool = False
    """Cancel its unfinished jobs."""
