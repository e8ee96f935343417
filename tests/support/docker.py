"""A Docker daemon of the tests' own, apart from whatever runs on the machine."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Daemon", "daemon"]

_START = 60.0
_STOP = 30.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon."""

    socket: Path
    client: str
    """A client that answers; a machine may have several."""

    @property
    def host(self) -> str:
        """What ``DOCKER_HOST`` says."""
        return f"unix://{self.socket}"

    def ask(self, *arguments: str) -> str:
        """What the client says. Raises ``CalledProcessError``."""
        argv = [self.client, "--host", self.host, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout.strip()

    def containers(self) -> list[str]:
        """Names of all its containers."""
        return self.ask("ps", "--all", "--format", "{{.Names}}").split()

    def images(self) -> list[str]:
        """All its images, with names where they have some."""
        return sorted(self.ask("images", "--format", "{{.Repository}}:{{.Tag}}").split())


@contextmanager
def daemon() -> Iterator[Daemon]:
    """Start one; it, its containers and all that it kept go afterwards. Needs root and the part ``dockerd``."""
    place = Path(tempfile.mkdtemp(prefix="djed-docker-"))  # short: the path of a socket has 107 characters
    socket = place / "docker.sock"
    argv = ["dockerd", "--data-root", str(place / "data"), "--exec-root", str(place / "exec")]
    argv += ["--pidfile", str(place / "pid"), "--host", f"unix://{socket}"]
    # Nothing of the machine's network is touched: the tests need none, or the machine's own.
    argv += ["--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield _answering(socket, process, place / "log")
    finally:
        process.terminate()
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _unmount(place)
        shutil.rmtree(place, ignore_errors=True)


def _answering(socket: Path, process: subprocess.Popen[bytes], log: Path) -> Daemon:
    clients = dict.fromkeys(
        path for name in ("/usr/bin", None) if (path := shutil.which("docker", path=name))
    )
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        for client in clients:
            found = Daemon(socket, client)
            try:
                found.ask("version")
            except (subprocess.SubprocessError, OSError):
                continue
            return found
        time.sleep(0.1)
    raise RuntimeError(f"dockerd did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _unmount(place: Path) -> None:
    """What is still mounted below it, the innermost first."""
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    for point in sorted((point for point in points if point.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
