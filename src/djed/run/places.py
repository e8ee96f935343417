"""Where the places of a job are, and what it sees in its environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from djed.errors import RunnerError
from djed.model.job import At, Job, Place

__all__ = ["Places", "Resolved", "base_variables", "passed_through", "resolve"]

Places = Mapping[Place, str]

_PROXY = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
)
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_INDEXES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_SYSTEM_CERTS",
)


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
    variables = {
        "PATH": ":".join(dict.fromkeys(folders)),
        "HOME": places["work"],
        "TMPDIR": "/tmp",  # noqa: S108  # the sandbox's own
        "LANG": "C.UTF-8",
        "DJED_OUTPUTS": places["outputs"],
    }
    if "env" in places:
        variables["VIRTUAL_ENV"] = places["env"]
    return variables


def passed_through(job: Job, environ: Mapping[str, str]) -> dict[str, str]:
    """What a job with network gets of our environment: proxies and certificates; a build also the indexes that uv is configured with."""
    if not job.network:
        return {}
    names = _PROXY + _CERTIFICATES + (_INDEXES if job.kind != "run" else ())
    return {name: environ[name] for name in names if environ.get(name)}
