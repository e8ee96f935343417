"""Engines with real parts: requests made short, and waits that end."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from djed.config import load
from djed.intake.submission import Submission
from djed.model.inspection import Inspection
from djed.model.request import SANDBOX_LEVELS, Environment, File, Index, Request, Resources, Run, SandboxLevel
from djed.service import Engine
from djed.toolbox.digest import digest_bytes

__all__ = ["ONE_CPU", "open_engine", "packages", "script", "submit", "until"]

ONE_CPU = Resources(cpu=1)
_PLAIN = Environment()


def open_engine(data: Path, level: SandboxLevel = "none", **settings: str) -> Engine:
    """An engine on a folder. With level ``none``, scripts may reach the test's files and other processes."""
    names = {name.replace("__", "."): value for name, value in settings.items()}
    names.setdefault("indexes.allow_private", "true")
    data.mkdir(parents=True, exist_ok=True)
    if not (data / "pythons.json").exists():
        (data / "pythons.json").write_bytes(_pythons())
    levels = SANDBOX_LEVELS[: SANDBOX_LEVELS.index(level) + 1]
    return Engine.open(load({"data": str(data), **names}, environ={}), levels=levels)


@cache
def _pythons() -> bytes:
    """What a data folder remembers of the Pythons here: to look for them takes a second, so only the first engine does."""
    with tempfile.TemporaryDirectory() as folder, Engine.open(load({"data": folder}, environ={})) as engine:
        engine.nodes()
        return (Path(folder) / "pythons.json").read_bytes()


def script(
    text: str = "exit 0\n",
    *,
    path: str = "script.sh",
    environment: Environment = _PLAIN,
    request: dict[str, Any] | None = None,
    **run: Any,
) -> Submission:
    """A request that runs a shell script on one CPU."""
    content = text.encode()
    file = File(path=path, digest=digest_bytes(content), size=len(content))
    wanted = Run(script=file, **{"resources": ONE_CPU, **run})
    made = Request(environment=environment, run=wanted, **(request or {}))
    return Submission(request=made, contents={digest_bytes(content): content})


def packages(*names: str, index: str, **more: Any) -> Environment:
    """An environment of packages that one index serves."""
    return Environment(packages=names, indexes=(Index(name="here", url=index),), **more)


def submit(engine: Engine, *submissions: Submission) -> list[str]:
    """The ids of what was accepted."""
    return [item.id for item in engine.submit(submissions)]


def until(condition: Callable[[], Any], what: str = "it") -> None:
    """Wait until something holds; fail after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        threading.Event().wait(0.005)


def outcomes(found: Sequence[Inspection]) -> list[str | None]:
    """How inspections ended."""
    return [item.outcome if item.state == "done" else item.state for item in found]
