"""A context from memory, and inspections in every state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from djed.build import Builder, Builders
from djed.config import Config
from djed.model.artifact import Artifact, Content
from djed.model.hardware import Node
from djed.model.inspection import Inspection, JobRecord, Plan
from djed.model.job import JobState
from djed.model.lock import Lock
from djed.model.observation import Failure, FailureClass
from djed.model.request import Environment, File, Request, Run
from tests.support.assemblies import INTERPRETER, NODE, locked

__all__ = ["LOCK", "SCRIPT", "SOURCE_LOCK", "FakeContext", "inspection", "record"]

LOCK = Lock(
    python="3.11.7", platform="linux-x86_64-glibc2.36", base="sha256:base", packages=(locked("app", "1.0"),)
)
SOURCE_LOCK = replace(LOCK, packages=(locked("app", "1.0"), locked("raw", "2.0", tag=None, source=True)))
SCRIPT = File(path="script.py", digest="sha256:" + "5" * 64, size=3)


@dataclass
class FakeContext:
    """Answers what the test put in."""

    config: Config = field(default_factory=Config)
    nodes: Sequence[Node] = (
        replace(NODE, hardware=replace(NODE.hardware, cores=4, memory=2**33), sandboxes=("none", "bwrap")),
    )
    builders: Mapping[str, Builder] = field(default_factory=Builders)
    index_settings: Mapping[str, str] = field(default_factory=dict)
    lock: Lock | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    built: bool = False
    """Whether every artifact that is asked for is there."""
    shebang: bool = False
    records: Sequence[JobRecord] = ()
    asked: list[tuple[str, bool]] = field(default_factory=list)
    equipped: bool = False

    def find_lock(self, key: str, *, settled: bool) -> Lock | None:
        self.asked.append((key, settled))
        return self.lock

    def find_artifact(self, digest: str) -> Artifact | None:
        return artifact(digest) if self.built else self.artifacts.get(digest)

    def look_again(self) -> bool:
        return False

    def equip(self) -> None:
        self.equipped = True

    def stamp(self, base: str) -> str:
        return base if base.startswith("oci:") else ""

    def content(self, digest: str) -> bytes:
        return b"print(1)"

    def load(self, node: str) -> float:
        return 0.0

    def has_shebang(self, digest: str) -> bool:
        return self.shebang

    def results(self, inspection: str) -> Sequence[JobRecord]:
        return self.records

    def noise_floor(self, node: str) -> float | None:
        return None


def artifact(digest: str) -> Artifact:
    content = Content(
        name="raw", version="2.0", built=True, hashes=("sha256:" + "d" * 64,), file="raw-2.0-py3-none-any.whl"
    )
    path = f"wheel/{digest.partition(':')[2]}"
    return Artifact(digest=digest, kind="wheel", path=path, size=1, manifest="sha256:m", contents=(content,))


def inspection(state: str = "queued", **fields: Any) -> Inspection:
    """One with a script and one package, unless told otherwise."""
    environment = fields.pop("environment", Environment(packages=("app",)))
    wanted = fields.pop("run", Run(script=SCRIPT))
    request = fields.pop(
        "request", Request(environment=environment, run=wanted, reuse=fields.pop("reuse", "artifact"))
    )
    plan = Plan(
        build_node=NODE.id,
        run_node=NODE.id,
        python=INTERPRETER.path,
        python_version="3.11.7",
        base="sha256:base",
        lock_key="key",
    )
    given: dict[str, Any] = (
        {"plan": plan, "lock": LOCK, "artifact": "sha256:env"} if state != "queued" else {}
    )
    return Inspection(
        id="abc",
        name="n",
        state=state,  # type: ignore[arg-type]
        request=request,
        created_at=1.0,
        updated_at=1.0,
        **{**given, **fields},
    )


def record(
    role: str, state: JobState = "succeeded", kind: FailureClass | None = None, **metrics: float
) -> JobRecord:
    """A job as the store has it."""
    failure = Failure(stage="run", kind=kind, message=f"{role} failed") if kind else None
    return JobRecord(
        id=role,
        kind=role.partition(":")[0],
        role=role,
        state=state,
        failure=failure,
        result={"metrics": metrics} if metrics else None,
    )
