"""An engine that only remembers, and a way to call the command line with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import pytest

from djed.cli.main import main
from djed.errors import ConflictError, NotFoundError
from djed.model.artifact import Artifact
from djed.model.difference import Difference
from djed.model.hardware import Hardware, Interpreter, Node
from djed.model.inspection import FINAL, Event, Inspection, JobRecord, Plan
from djed.model.job import JobState
from djed.model.lock import Lock, LockedPackage
from djed.model.observation import Failure, Statistics
from djed.model.request import Environment, File, Request, Run
from djed.model.summary import Collected, Page, StoredObservation, Summary
from djed.service.difference import between

T = TypeVar("T")

REQUEST = Request(
    name="matmul",
    environment=Environment(packages=("numpy==2.1.*",)),
    run=Run(script=File(path="matmul.py", digest="sha256:0", size=1), repeat=2),
)
REPORT: dict[str, Any] = {
    "exit_code": 0,
    "duration": 0.75,
    "sandbox": "bwrap",
    "sandbox_tool": "bubblewrap 0.8.0",
    "cpus": [0, 1],
    "os_release": {"pretty_name": "Debian GNU/Linux 12"},
    "hwinfo": {"cpu_info": {"brand_raw": "Fast CPU"}, "platform": {"machine": "x86_64", "release": "6.1"}},
}
DURATION = Statistics(
    metric="duration",
    unit="s",
    values=(1.0, 1.1),
    median=1.05,
    low=1.0,
    high=1.1,
    spread=0.02,
    verdict="measured",
)
SUCCEEDED = Inspection(
    id="3f2a9c1b7d",
    name="matmul",
    state="done",
    request=REQUEST,
    created_at=1_800_000_000.0,
    updated_at=1_800_000_003.0,
    outcome="succeeded",
    plan=Plan(build_node="local/here", run_node="local/here", python_version="3.11.7"),
    lock=Lock(python="3.11.7", packages=(LockedPackage(name="numpy", version="2.1.3"),)),
    artifact="sha256:abcdef0123456789",
    statistics=(DURATION,),
)
FAILED = replace(
    SUCCEEDED,
    id="9e8d7c6b5a",
    name="broken",
    outcome="failed",
    statistics=(),
    failure=Failure(
        stage="run",
        kind="import_error",
        message="No module named 'distutils', which psij needs",
        hint="Run it on Python 3.11 or older.",
        evidence=("ModuleNotFoundError: No module named 'distutils'",),
    ),
)
REFUSED = replace(
    SUCCEEDED,
    id="5c4b3a2918",
    name="picky",
    state="refused",
    outcome=None,
    statistics=(),
    lock=None,
    failure=Failure(stage="plan", kind="refused", message="No node has what run.hardware asks for"),
    refusals=(
        {
            "for": "run",
            "node": "local/here",
            "fits": False,
            "lines": [
                {"path": "run.hardware.gpu.count", "asked": "4+", "has": "0", "ok": False},
                {"path": "run.hardware.arch", "asked": "x86_64", "has": "x86_64", "ok": True},
            ],
        },
    ),
)
FLOOR = StoredObservation(
    seq=1, inspection="x", kind="noise_floor", subject={"node": "local/here"}, value={"floor": 0.02}
)
NODE = Node(
    id="local/here",
    target="local",
    hardware=Hardware(
        arch="x86_64", processor="Fast CPU", cores=2, memory=8 * 2**30, os="debian", os_version="12"
    ),
    interpreters=(Interpreter(path="/usr/bin/python3.11", version="3.11.7", prefix="/usr"),),
    sandboxes=("none", "bwrap"),
)


def job(role: str, state: JobState = "succeeded", **report: Any) -> JobRecord:
    """A job of an inspection, named by its role."""
    kind = role.partition(":")[0]
    return JobRecord(
        id=f"job-{role}", kind=kind, role=role, state=state, node="local/here", result={**REPORT, **report}
    )


def event(kind: str, **data: Any) -> Event:
    """Something that happened to the inspection that succeeds."""
    return Event(seq=0, inspection=SUCCEEDED.id, kind=kind, data=data, at=SUCCEEDED.created_at + 1)


def job_event(role: str, state: str, **data: Any) -> Event:
    """Something that happened to one of its jobs."""
    return event("job", job=f"job-{role}", role=role, state=state, **data)


HISTORY = (
    event("job", role="lock", state="waiting"),
    job_event("lock", "started"),
    job_event("lock", "succeeded", seconds=0.31, detail="12 packages"),
    job_event("build", "cached", detail="24.1 MiB"),
    job_event("run:0", "started"),
    job_event("run:0", "succeeded", seconds=0.75),
    job_event("run:1", "started"),
    job_event("run:1", "succeeded", seconds=0.77),
    event("done", state="done", outcome="succeeded", seconds=2.0),
)


@dataclass
class FakeEngine:
    """What the command line knows of an engine, from memory."""

    inspections: dict[str, Inspection] = field(default_factory=dict)
    records: dict[str, list[JobRecord]] = field(default_factory=dict)
    history: dict[str, list[Event | Callable[[], None] | None]] = field(default_factory=dict)
    texts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    facts: list[StoredObservation] = field(default_factory=list)
    submitted: list[Any] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    at_work: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.calls.append(("close", None))

    def add(
        self, item: Inspection, records: Sequence[JobRecord] = (), history: Sequence[Any] = ()
    ) -> Inspection:
        self.inspections[item.id] = item
        self.records[item.id] = list(records)
        self.history[item.id] = list(history)
        return item

    def submit(
        self, submissions: Sequence[Any], *, fresh: bool = False, key: str | None = None
    ) -> Sequence[Inspection]:
        self.submitted += submissions
        self.calls.append(("submit", fresh))
        return list(self.inspections.values())[: len(submissions)]

    def get(self, reference: str) -> Inspection:
        matching = [
            item
            for item in self.inspections.values()
            if item.id.startswith(reference) or reference in {item.name, "latest"}
        ]
        if not matching:
            raise NotFoundError(f"There is no inspection {reference!r}.", hint="djed list shows them.")
        return matching[0]

    def page(
        self,
        *,
        states: Sequence[str] = (),
        name: str | None = None,
        sort: str = "-created",
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Summary]:
        found = [
            item
            for item in self.inspections.values()
            if (not states or item.state in states) and name in {None, item.name}
        ]
        return _part([_summary(item) for item in found], limit, after)

    def jobs(self, inspection: str) -> Sequence[JobRecord]:
        return self.records[inspection]

    def events(self, inspections: Sequence[str], after: str = "") -> Sequence[Event]:
        return [item for key in inspections for item in self.history[key] if isinstance(item, Event)]

    def follow(
        self, inspections: Sequence[str], after: str = "", *, tick: float = 0.25, logs: bool = False
    ) -> Iterator[Event | None]:
        for key in inspections:
            for item in self.history[key]:
                if callable(item):
                    item()
                    yield None
                else:
                    yield item

    def log(self, job: str, stream: str = "stdout", offset: int = 0, limit: int | None = None) -> bytes:
        return self.texts.get((job, stream), b"")[offset:][:limit]

    def cancel(self, reference: str) -> Inspection:
        item = self.get(reference)
        if item.state in FINAL:
            raise ConflictError("It is already over.")
        self.inspections[item.id] = replace(item, state="cancelled")
        self.calls.append(("cancel", item.id))
        return self.inspections[item.id]

    def retry(self, reference: str) -> Inspection:
        self.calls.append(("retry", reference))
        return self.get(reference)

    def remove(self, references: Sequence[str]) -> int:
        for reference in references:
            if self.get(reference).state not in FINAL:
                raise ConflictError(f"{reference} is not over yet.")
        return len(references)

    def gc(self, *, older_than: float | None = None, dry_run: bool = False) -> Collected:
        self.calls.append(("gc", (older_than, dry_run)))
        return Collected(artifacts=1, blobs=2, size=3 * 2**20)

    def check_parts(self) -> None:
        pass

    def nodes(self) -> Sequence[Node]:
        return [NODE]

    def artifact(self, digest: str) -> Artifact | None:
        return None

    def observations(
        self,
        reference: str | None = None,
        *,
        kind: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page[StoredObservation]:
        found = [
            item for item in self.facts if reference in {None, item.inspection} and kind in {None, item.kind}
        ]
        return _part(found, limit, after)

    def difference(self, a: str, b: str) -> Difference:
        return between(self, a, b)  # type: ignore[arg-type]

    def noise(self, *, repeats: int = 20) -> Statistics:
        self.facts.insert(0, FLOOR)
        return replace(DURATION, values=(1.0,) * repeats)

    @contextmanager
    def working(self) -> Iterator[None]:
        self.at_work = True
        yield
        self.at_work = False


def _part(found: Sequence[T], limit: int, after: str | None) -> Page[T]:
    start = int(after or 0)
    end = start + limit
    return Page(items=found[start:end], next=str(end) if end < len(found) else None)


def _summary(item: Inspection) -> Summary:
    return Summary(
        id=item.id,
        name=item.name,
        state=item.state,
        outcome=item.outcome,
        created_at=item.created_at,
        seconds=2.0,
        node="local/here",
        metric="1.05s ±2%" if item.statistics else None,
        failure=item.failure.kind if item.failure else None,
        repeats=2,
    )


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine that knows one inspection of each kind, in place of the real one."""
    fake = FakeEngine()
    runs = [job("lock"), job("build"), job("run:0"), job("run:1")]
    fake.add(SUCCEEDED, runs, HISTORY)
    fake.add(FAILED, [job("lock"), job("run:0", "failed", exit_code=1)])
    fake.add(REFUSED)
    fake.texts["job-run:0", "stdout"] = b"hello\n\x1b[31mred\x1b[0m\n"
    fake.texts["job-run:0", "stderr"] = b"Traceback\nModuleNotFoundError: No module named 'distutils'\n"
    monkeypatch.setattr("djed.cli.context.open_engine", lambda config: fake)
    return fake


@pytest.fixture
def djed(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Calls the command line."""

    def call(*arguments: str) -> Outcome:
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdout is a terminal of 80 columns."""
    monkeypatch.setattr("djed.cli.console.is_terminal", lambda stream: stream is sys.stdout)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 24)))


@pytest.fixture
def told() -> Callable[..., Event]:
    """Makes an event of a job."""
    return job_event
