"""What to do with an attempt that is over: bring it home, name its outcome, keep what it made. No transaction is open meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from djed.build import BuildError
from djed.build.lock import read_lock
from djed.errors import DjedError, StoreFullError
from djed.model.artifact import Artifact
from djed.model.codec import decode, encode
from djed.model.inspection import Inspection
from djed.model.job import Attempt, Handle, Job, JobState
from djed.model.lock import Lock
from djed.model.observation import Failure, FailureClass, Stage
from djed.model.quantity import format_size
from djed.model.request import File
from djed.model.result import OutputFile, Result
from djed.observe.outcome import classify
from djed.observe.report import report
from djed.pipeline import Context, making, named
from djed.run.interface import Runner
from djed.store import facts, job_records, lookup
from djed.store.store import Store
from djed.toolbox.folder import writing
from djed.toolbox.fs import open_regular, walk_regular

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Harvest", "Harvester", "refused"]

_STAGES: Mapping[str, Stage] = {
    "base": "lock",
    "native": "build",
    "lock": "lock",
    "wheel": "build",
    "build": "build",
    "package": "build",
    "run": "run",
}
_LOG_CAP = 64 * 2**20
_NOTE = "sealed.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """What came of an attempt, ready to be written."""

    report: Mapping[str, Any] | None = None
    failure: Failure | None = None
    lost: bool = False
    lock: tuple[str, Lock] | None = None
    """Key and lock."""
    artifact: Artifact | None = None
    size: int = 0
    """Bytes of its streams and outputs that are kept."""
    detail: str = ""
    """For people: ``12 packages``, ``24.1 MiB``."""

    @property
    def state(self) -> JobState:
        """State of the job."""
        if self.failure is None:
            return "succeeded"
        return "cancelled" if self.failure.kind == "cancelled" else "failed"

    def keep(self, connection: sa.Connection, now: float, *, place: str) -> None:
        """Write the facts."""
        if self.lock is not None:
            facts.add_lock(connection, *self.lock, now)
        if self.artifact is not None:
            facts.add_artifact(connection, self.artifact, now, place=place)


def refused(job: Job, error: DjedError) -> Harvest:
    """An attempt that could not be started, for a reason that stays."""
    return Harvest(failure=named(_STAGES[job.kind], error, "sandbox_failed"))


class Harvester:
    """Turns attempts that are over into harvests. Safe for threads; may be repeated for an attempt after a crash."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store = store
        self._context = context

    def __call__(self, runner: Runner, attempt: Attempt, handle: Handle) -> Harvest:
        """Bring an attempt home and read it."""
        home = self._store.attempts / attempt.name
        result = runner.collect(handle, home)
        if result.lost:
            failure = classify(
                stage=_STAGES[attempt.job.kind], result=result, stdout=b"", stderr=b"", context={}
            )
            return Harvest(lost=True, failure=failure)
        result, logs = self._logs(result, home)
        user = self._user(attempt)
        failure = classify(
            stage=_STAGES[attempt.job.kind],
            result=result,
            stdout=logs["stdout"],
            stderr=logs["stderr"],
            context=self._evidence(attempt, user),
        )
        made = Harvest(failure=failure)
        if failure is None and user is not None:
            made = self._product(attempt, result, home, user)
        if attempt.job.kind == "run":
            result = self._outputs(result, home / "outputs")
        size = sum(map(len, logs.values())) + sum(file.size for file in result.outputs)
        report_ = self._report(attempt, result, logs=logs, user=user, failure=made.failure)
        return replace(made, report=report_, size=size)

    def _logs(self, result: Result, home: Path) -> tuple[Result, dict[str, bytes]]:
        """The streams as blobs and as bytes."""
        logs = {name: _read(home / name) for name in ("stdout", "stderr")}
        digests = {name: self._store.blobs.put(data) if data else None for name, data in logs.items()}
        stdout = replace(result.stdout, digest=digests["stdout"])
        stderr = replace(result.stderr, digest=digests["stderr"])
        return replace(result, stdout=stdout, stderr=stderr), logs

    def _outputs(self, result: Result, outputs: Path) -> Result:
        """Every regular file of ``outputs`` as a blob; what else lies there is named and left.

        Files that held a secret are not there any more: the supervisor of the attempt took them away and named them.
        """
        kept: list[OutputFile] = []
        skipped = list(result.skipped)
        for entry in walk_regular(outputs):
            if entry.kind == "skipped":
                skipped.append(f"{entry.path}: {entry.reason}")
                continue
            with (
                open_regular(outputs, entry.path) as descriptor,
                os.fdopen(descriptor, "rb", closefd=False) as file,
            ):
                kept.append(
                    OutputFile(path=entry.path, size=entry.size, digest=self._store.blobs.put_stream(file))
                )
        return replace(result, outputs=tuple(kept), skipped=tuple(skipped))

    def _user(self, attempt: Attempt) -> Inspection | None:
        """An inspection that waits for the job: what it makes is read by its request."""
        with self._store.database.read() as connection:
            for id_ in job_records.users(connection, attempt.job_id):
                return lookup.get(connection, id_)
        return None

    def _evidence(self, attempt: Attempt, user: Inspection | None) -> dict[str, Any]:
        """What the classes of failure may name."""
        job = attempt.job
        known: dict[str, Any] = {
            "timeout": job.limits.timeout,
            "memory": job.limits.memory,
            "disk": job.limits.disk,
            "network": job.network,
            "hardware": next(
                (node.hardware for node in self._context.nodes if node.id == attempt.node), None
            ),
        }
        if user is not None:
            role, _, package = self._role(attempt, user).partition(":")
            built = role == "wheel" and user.lock
            known["package"] = f"{package}=={user.lock.stack[package]}" if built and user.lock else None
            known["base"], known["native"] = user.request.environment.base, user.request.environment.native
            known["python"] = user.plan.python_version if user.plan else None
            known["packages"] = self._modules(job)
        return known

    def _modules(self, job: Job) -> dict[str, str]:
        """Package by the modules that it brings, so that a traceback can name the package."""
        artifact = self._context.find_artifact(job.environment) if job.environment else None
        contents = artifact.contents if artifact else ()
        return {module: content.name for content in contents for module in content.modules}

    def _product(self, attempt: Attempt, result: Result, home: Path, user: Inspection) -> Harvest:
        """The lock or the artifact that the job was for."""
        stage = _STAGES[attempt.job.kind]
        try:
            if attempt.job.kind == "lock":
                return self._lock(home / "outputs", user)
            if attempt.job.kind != "run":
                return self._artifact(attempt, result, home, user)
        except BuildError as error:
            return Harvest(failure=error.failure)
        except DjedError as error:
            kind: FailureClass = "disk_full" if isinstance(error, StoreFullError) else "build_backend_failed"
            return Harvest(failure=Failure(stage=stage, kind=kind, message=error.message, hint=error.hint))
        return Harvest()

    def _lock(self, outputs: Path, user: Inspection) -> Harvest:
        plan = user.plan
        assert plan is not None
        node = next(node for node in self._context.nodes if node.id == plan.build_node)
        interpreter = next(item for item in node.interpreters if item.path == plan.python)
        lock = read_lock(
            outputs,
            user.request.environment,
            interpreter=interpreter,
            node=node,
            base=plan.base or "",
            settings=self._context.index_settings,
        )
        count = len(lock.packages)
        return Harvest(lock=(plan.lock_key or "", lock), detail=f"{count} package{'' if count == 1 else 's'}")

    def _artifact(self, attempt: Attempt, result: Result, home: Path, user: Inspection) -> Harvest:
        """What was sealed, now or before a crash."""
        artifact = self._sealed(home)
        if artifact is None:
            try:
                artifact = self._seal(attempt, result, home, user)
            except (DjedError, OSError):
                # A worker whose lease ran out may have sealed it under our hands.
                artifact = self._sealed(home)
                if artifact is None:
                    raise
        made = Harvest(artifact=artifact, detail=format_size(artifact.size))
        if attempt.job.kind != "base":
            return made
        builder, assembly = making("base", user, self._context)
        return replace(made, lock=(builder.digest(assembly), Lock(base=artifact.digest)))

    def _sealed(self, home: Path) -> Artifact | None:
        """The artifact of which the note in the job directory tells, where it got to its place."""
        try:
            artifact = decode(Artifact, json.loads((home / _NOTE).read_bytes()))
        except (FileNotFoundError, ValueError):  # a crash may have cut the note
            return None
        return artifact if self._store.artifact_path(artifact).exists() else None

    def _seal(self, attempt: Attempt, result: Result, home: Path, user: Inspection) -> Artifact:
        """Seal and move to its place. The note, written between the two, makes it safe to do again after a crash."""
        builder, assembly = making(self._role(attempt, user), user, self._context)
        if assembly.image is not None:
            assembly = replace(assembly, layout=self._store.artifact_path(assembly.image))
        sealed = builder.seal(assembly, result, home / "outputs")
        with writing(home):
            (home / _NOTE).write_text(json.dumps(encode(sealed.artifact)), encoding="utf-8")
        self._store.keep_artifact(sealed.artifact, sealed.path)
        return sealed.artifact

    def _role(self, attempt: Attempt, user: Inspection) -> str:
        """What the job is for that inspection."""
        with self._store.database.read() as connection:
            records = job_records.of_inspection(connection, [user.id], with_results=False)[user.id]
        return next(record.role for record in records if record.id == attempt.job_id)

    @staticmethod
    def _report(
        attempt: Attempt,
        result: Result,
        *,
        logs: Mapping[str, bytes],
        user: Inspection | None,
        failure: Failure | None,
    ) -> Mapping[str, Any]:
        run = user.request.run if user and attempt.job.kind == "run" else None
        script = run.script.digest if run and isinstance(run.script, File) else None
        return report(
            result,
            stdout=logs["stdout"],
            stderr=logs["stderr"],
            script_sha256=script.partition(":")[2] if script else None,
            python_version=user.plan.python_version if user and user.plan else None,
            failure=failure,
        )


def _read(log: Path) -> bytes:
    """A log of the job directory: written by the supervisor, never by the job."""
    try:
        with log.open("rb") as file:
            return file.read(_LOG_CAP)
    except FileNotFoundError:
        return b""
