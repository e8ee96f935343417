"""Images by their name: from the storage of an engine on this machine, else from a registry, by skopeo."""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from djed.errors import DjedError, MissingPartError, NotFoundError, ToolError
from djed.service.extract.looking import look_into_image
from djed.toolbox.digest import digest_json
from djed.toolbox.oci import platform_of
from djed.toolbox.process import follow

if TYPE_CHECKING:
    from djed.model.contents import Contents
    from djed.service.extract.ground import Ground

__all__ = ["fetched"]

_UNKNOWN = re.compile(
    r"manifest unknown|name unknown|not found|does not exist|no such image|does not resolve to an image|unauthorized|denied",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REGISTRY = "docker://"
_LOCAL = ("containers-storage:", "docker-daemon:")


def fetched(name: str, ground: Ground, *, insecure: Sequence[str]) -> Contents:
    """What is in the image of that name.

    ``insecure`` are registries that are spoken to without TLS. Raises ``MissingPartError`` without skopeo, ``NotFoundError`` where nobody
    has such an image, ``ToolError`` where it cannot be had.
    """
    if shutil.which("skopeo") is None:
        raise MissingPartError(
            f"{name} is no file, folder or artifact here, and to fetch an image of that name takes skopeo.",
            hint="Install skopeo, or save the image to a file and name that.",
        )
    *nearer, registry = _sources(name)
    for source in nearer:
        with suppress(ToolError):
            return _from(source, ground, insecure)
    try:
        return _from(registry, ground, insecure)
    except ToolError as error:
        raise _explained(name, error) from error


def _explained(name: str, failure: ToolError) -> DjedError:
    if _UNKNOWN.search(failure.message):
        return NotFoundError(
            f"There is no file, folder, artifact or image {name}.",
            hint=f"The registry said: {failure.message}",
        )
    return ToolError(f"The image {name} cannot be fetched: {failure.message}")


def _sources(name: str) -> list[str]:
    """Where it may be, in skopeo's words; the last is the registry."""
    if "://" in name or name.startswith(_LOCAL):
        return [name]
    found = []
    if shutil.which("podman") or shutil.which("buildah"):
        found.append(f"containers-storage:{name}")
    if _daemon().exists():
        tagged = ":" in name.rpartition("/")[2]
        found.append(f"docker-daemon:{name if tagged else name + ':latest'}")
    return [*found, f"{_REGISTRY}{name}"]


def _daemon() -> Path:
    host = os.environ.get("DOCKER_HOST", "")
    return Path(host.removeprefix("unix://") if host.startswith("unix://") else "/var/run/docker.sock")


def _from(source: str, ground: Ground, insecure: Sequence[str]) -> Contents:
    """Raises ``ToolError`` with what skopeo says."""
    if not source.startswith(_REGISTRY):
        daemon = [f"--src-daemon-host=unix://{_daemon()}"] if source.startswith("docker-daemon:") else []
        return _copied(source, ground, daemon)
    name = source.removeprefix(_REGISTRY)
    plain = re.sub(r"(:[\w.-]+)?(?=@)", "", name)  # a tag beside a digest is refused, and says nothing
    verify = name.partition("/")[0] not in insecure
    options = [] if verify else ["--tls-verify=false"]
    said = _skopeo(
        "inspect", *options, "--no-tags", "--format", "{{.Digest}}", _REGISTRY + plain, arch=ground.arch
    )
    digest = said[-1].strip() if said else ""
    if not _DIGEST.fullmatch(digest):
        raise ToolError(f"skopeo says that its digest is {digest!r:.100}.")

    def make() -> Contents:
        head, slash, last = plain.partition("@")[0].rpartition("/")
        exact = f"{_REGISTRY}{head}{slash}{last.partition(':')[0]}@{digest}"
        return _copied(exact, ground, [] if verify else ["--src-tls-verify=false"])

    return ground.kept(digest_json([digest, ground.arch]), make)


def _copied(source: str, ground: Ground, options: Sequence[str]) -> Contents:
    with ground.room() as room:
        _skopeo("copy", *options, source, "oci:layout:image", arch=ground.arch, cwd=room)
        return look_into_image(room / "layout", ground)


def _skopeo(*arguments: str, arch: str, cwd: Path | None = None) -> list[str]:
    """The lines that it wrote. Raises ``ToolError`` with the last of them."""
    lines: deque[str] = deque(maxlen=100)
    fixed = ["--insecure-policy", "--override-os", "linux", "--override-arch", platform_of(arch).architecture]
    if follow(["skopeo", *fixed, *arguments], lines.append, cwd=cwd):
        last = next((line for line in reversed(lines) if line.strip()), "it does not say why")
        raise ToolError(last.rpartition("msg=")[2].strip('"')[:500])
    return list(lines)
