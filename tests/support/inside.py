"""A runner and an image to run jobs in."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from djed.config import Config
from djed.errors import NotFoundError
from djed.model.job import At, Attempt, Job
from djed.model.result import Result
from djed.run.local import LocalRunner
from djed.testing.runner_contract import wait

__all__ = ["Bench", "Store"]

_numbers = count(1)


class Store:
    """Artifacts by name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        return self.root / digest.removeprefix("sha256:")

    def secret(self, namespace: str, name: str) -> bytes:
        return b"the value"


class Bench:
    """A runner, and an image ``sha256:image`` to run in."""

    def __init__(self, data: Path, image: Path | None = None) -> None:
        self.data = data
        self.home = data / "attempts"
        self.store = Store(data / "store")
        self.store.root.mkdir()
        if image is not None:
            (self.store.root / "image").symlink_to(image)
        self.runner = LocalRunner(self.home, self.store, config=Config(data=data))
        self.last = Path()

    @property
    def root(self) -> Path:
        return self.store.root / "image/root"

    def run(self, *command: str | At, **more: Any) -> Result:
        number = next(_numbers)
        job = Job(**{"kind": "run", "command": command, "inside": True, "image": "sha256:image", **more})
        attempt = Attempt(
            name=f"djed-inside{number}-1", job_id=f"inside{number}", number=1, job=job, node="n"
        )
        handle = self.runner.submit(attempt)
        wait(self.runner, handle)
        self.last = self.home / attempt.name
        return self.runner.collect(handle, self.last)

    def said(self, stream: str = "stdout") -> str:
        return (self.last / stream).read_text()

    def shell(self, script: str, *arguments: str | At, **more: Any) -> str:
        """What a shell in the image says; it must end well."""
        result = self.run("/bin/sh", "-c", script, "sh", *arguments, **more)
        assert (result.exit_code, result.error) == (0, None), self.said("stderr")
        assert (result.sandbox, (result.sandbox_tool or "").split()[0]) == ("bwrap", "bubblewrap")
        return self.said()
