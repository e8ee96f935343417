"""Podman with a store of the tests' own, apart from whatever the machine keeps."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from djed.model.engine import ContainerEngine
from djed.run.engines import probe

__all__ = ["Podman", "podman"]


@dataclass(frozen=True, slots=True)
class Podman:
    """How it is called."""

    engine: ContainerEngine
    place: Path

    def call(self, *arguments: str, given: bytes = b"") -> bytes:
        """Its stdout. Raises ``CalledProcessError``."""
        own = ("--root", str(self.place / "root"), "--runroot", str(self.place / "run"))
        argv = [self.engine.path, *self.engine.arguments, *own, *arguments]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=300, input=given)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        return done.stdout

    def run(self, image: str, *command: str, options: tuple[str, ...] = ()) -> bytes:
        """What a container prints that runs its own command, or this one."""
        own = ("--rm", "--network", "none", "--pull", "never", *self.engine.run_arguments, *options)
        return self.call("run", *own, image, *command)

    def load(self, archive: Path) -> str:
        """The id of the image in an archive."""
        return self.call("pull", "--quiet", f"oci-archive:{archive}").decode().split()[-1]


@contextmanager
def podman() -> Iterator[Podman]:
    """Podman as it works here; its images go afterwards. Needs the part ``podman``."""
    place = Path(tempfile.mkdtemp(prefix="djed-podman-"))
    try:
        engine = next(item for item in probe(place) if item.name == "podman")
        found = Podman(engine, place)
        yield found
        found.call("rmi", "--all", "--force")
    finally:
        # The store is a mount on itself as long as it is there.
        subprocess.run(["umount", "--quiet", str(place / "root/overlay")], check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)
