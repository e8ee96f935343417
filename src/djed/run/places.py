"""Where the places of a job are, and what it sees in its environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from djed.errors import RunnerError
from djed.model.job import At, Job, Place

__all__ = ["Places", "Resolved", "base_variables", "merged", "resolve"]

Places = Mapping[Place, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A job's command and variables, every place filled in."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


def resolve(job: Job, places: Places) -> Resolved:
    """Fill in the places. Raises ``RunnerError`` where the job uses a place that it did not ask for."""

    def text(value: str | At) -> str:
        if isinstance(value, str):
            return value
        if value.place not in places:
            raise RunnerError(f"The job uses the place {value.place!r}, which it was not given.")
        return f"{places[value.place]}/{value.path}" if value.path else places[value.place]

    return Resolved(
        command=tuple(text(part) for part in job.command),
        variables={name: text(value) for name, value in job.variables.items()},
    )


def base_variables(job: Job, places: Places) -> dict[str, str]:
    """The clean environment that every job starts from, made by allow-list."""
    folders = ["/usr/local/bin", "/usr/bin", "/bin"]
    if job.python is not None:
        folders.insert(0, str(PurePosixPath(job.python).parent))
    if "env" in places:
        folders.insert(0, places["env"] + "/bin")
    if job.engine:  # which starts its runtime and sets up networks
        folders += ["/usr/local/sbin", "/usr/sbin", "/sbin"]
    variables = {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": places["work"],
        "TMPDIR": _temporary(job, places),
        "LANG": "C.UTF-8",
        "DJED_OUTPUTS": places["outputs"],
    }
    if "env" in places:
        variables["VIRTUAL_ENV"] = places["env"]
    if job.limits.gpu:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(job.limits.gpu)))
    return variables


def merged(job: Job, places: Places, own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Ours and the job's, whose word counts, but in a job that calls a container engine: no sandbox is around that."""
    if job.engine:
        if loader := next((name for name in given if name.startswith("LD_")), None):
            raise RunnerError(f"A job that calls a container engine cannot set {loader}.")
        return {**given, **own}
    variables = {**own, **given}
    if job.inside and "env" in places and "PATH" in given:
        # It is the image's; the environment still leads it.
        variables["PATH"] = f"{places['env']}/bin:{given['PATH']}"
    return variables


def _temporary(job: Job, places: Places) -> str:
    """The sandbox's own; for an engine, which leaves big files when it is killed, a folder that goes with the attempt."""
    if not job.engine:
        return "/tmp"  # noqa: S108
    return places["cache"] if job.cache == "private" else places["work"]
