"""Bringing an artifact to where it is used: a file, a folder, an engine's store, a registry.

Files and folders are written by ourselves; all else by skopeo, with its own settings and logins. Nothing that is there is overwritten
but on request, and what is half written is never seen under its name.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from djed.errors import ConflictError, DjedError, MissingPartError, RequestError, ToolError
from djed.model.artifact import SINGLE_FILES, Artifact
from djed.model.base import parse_base
from djed.toolbox import process
from djed.toolbox.fs import open_regular, remove_tree

__all__ = ["Destination", "Pushed", "push", "read_destination", "single_file"]

Way = Literal["file", "oci", "oci-archive", "docker-archive", "docker", "docker-daemon", "containers-storage"]
_WAYS: tuple[Way, ...] = (
    "oci",
    "oci-archive",
    "docker-archive",
    "docker",
    "docker-daemon",
    "containers-storage",
)
_WRITTEN: tuple[Way, ...] = ("file", "oci", "oci-archive", "docker-archive")
"""Those that need no other program."""
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOURS = 4 * 3600.0
"""Seconds for an upload."""
_HINTS = {
    "HTTP response to HTTPS": "A registry without TLS: add --insecure.",
    "certificate": "Trust its certificate on this machine, or add --insecure.",
    "unauthorized": "Log in: skopeo login REGISTRY",
    "authentication required": "Log in: skopeo login REGISTRY",
    "denied": "Log in as somebody who may write there: skopeo login REGISTRY",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where an artifact goes."""

    way: Way
    place: str
    """Path of a file or folder, or name of an image."""
    name: str | None = None
    """What the image is called in a file or folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """Where an artifact is now."""

    destination: str
    digest: str | None = None
    """Of the manifest there, of an image in a registry."""
    size: int | None = None
    """Bytes that were written here."""


def read_destination(text: str, artifact: Artifact) -> Destination:
    """Read ``DEST``. Raises ``RequestError`` where it is none for this kind of artifact."""
    way, colon, rest = text.partition(":")
    if artifact.kind != "image":
        return _file(text, artifact)
    if colon and way in _WAYS:
        return _named(way, rest, text)
    if _is_in_registry(text):
        return Destination(way="docker", place=text)
    raise RequestError(
        f"{text[:200]!r} is no place for an image.",
        hint="Write oci:DIR, oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME, containers-storage:NAME, or REGISTRY/NAME:TAG.",
    )


def _is_in_registry(text: str) -> bool:
    """Whether it is the name of an image with that of its registry: without one, every engine would take another."""
    try:
        found = parse_base(text)
    except ValueError:
        return False
    host, slash, _ = text.partition("/")
    return found.kind == "name" and bool(slash) and (host == "localhost" or bool(set(host) & {".", ":"}))


def _named(way: Way, rest: str, text: str) -> Destination:
    """As skopeo writes it: behind a path may stand what the image is called there."""
    if way in {"docker", "docker-daemon", "containers-storage"}:
        place = rest.removeprefix("//")
        if not place or place.startswith("-") or not place.isprintable() or " " in place:
            raise RequestError(f"{text[:200]!r} names no image.")
        return Destination(way=way, place=place)
    # The tag of a folder is behind the last colon; the name of an archive, which may have colons itself, behind the first.
    path, colon, name = rest.rpartition(":") if way == "oci" else rest.partition(":")
    if way == "oci" and not (colon and _TAG.fullmatch(name)):
        path, name = rest, ""
    if not path or "\0" in path:
        raise RequestError(f"{text[:200]!r} names no file or folder.")
    return Destination(way=way, place=path, name=name or None)


def _file(text: str, artifact: Artifact) -> Destination:
    ending = SINGLE_FILES.get(artifact.kind)
    if ending is None:
        raise RequestError(
            "A virtual environment works only where it was built.",
            hint="Package it: djed build FILE --package archive",
        )
    if not text.endswith(ending) or "\0" in text:
        raise RequestError(
            f"The name of {_called(artifact)} ends in {ending}, not as {text[-40:]!r} does.",
            hint=f"Name a file: NAME{ending}",
        )
    return Destination(way="file", place=text)


def _called(artifact: Artifact) -> str:
    return {"sif": "an Apptainer image", "archive": "an archive"}.get(artifact.kind, f"a {artifact.kind}")


def push(
    files: Path,
    artifact: Artifact,
    to: Destination,
    *,
    force: bool = False,
    insecure: bool = False,
    compress: bool = False,
) -> Pushed:
    """Bring an artifact, whose files lie in the folder ``files``, to its destination.

    ``insecure``: a registry without TLS, or with a certificate that nobody vouches for. ``compress``: let a registry have smaller layers,
    by which the image gets another digest. Raises ``ConflictError`` where something is there already, ``MissingPartError`` without skopeo.
    """
    if to.way in _WRITTEN:
        return _write(files, artifact, to, force=force)
    return _copy(files, artifact, to, insecure=insecure, compress=compress)


def single_file(folder: Path) -> str:
    """Name of the one file of an artifact. Raises ``DjedError`` where it is another kind of folder."""
    names = sorted(path.name for path in folder.iterdir())
    if len(names) != 1:
        raise DjedError(f"The artifact has {len(names)} files where one should be.")
    return names[0]


# By ourselves


def _write(files: Path, artifact: Artifact, to: Destination, *, force: bool) -> Pushed:
    from djed.toolbox.oci import Layout, docker_archive, oci_archive

    target = Path(to.place)
    if to.way == "oci":
        _write_folder(files, target, to.name, force=force)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        return Pushed(destination=f"oci:{to.place}", size=size)

    def write(file: BinaryIO) -> None:
        if to.way == "file":
            with (
                open_regular(files, single_file(files)) as descriptor,
                os.fdopen(os.dup(descriptor), "rb") as source,
            ):
                shutil.copyfileobj(source, file, 2**20)
        elif to.way == "oci-archive":
            oci_archive(files, file, name=to.name)
        else:
            assert artifact.image is not None
            image = Layout(files).choose(artifact.image.arch)
            docker_archive(
                files, image, to.name or f"localhost/djed:{artifact.digest.partition(':')[2][:12]}", file
            )

    _write_file(target, write, force=force)
    return Pushed(destination=to.place, size=target.stat().st_size)


def _write_file(target: Path, write: Callable[[BinaryIO], None], *, force: bool) -> None:
    """A file that is complete when it is seen."""
    if not force and os.path.lexists(target):
        raise _exists(target)
    draft = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}")
    with _told(target):
        try:
            with draft.open("xb") as file:
                write(file)
            if force:
                draft.replace(target)
            else:
                os.link(draft, target, follow_symlinks=False)
        except FileExistsError as error:
            raise _exists(target) from error
        finally:
            draft.unlink(missing_ok=True)


def _write_folder(files: Path, target: Path, name: str | None, *, force: bool) -> None:
    """A layout that is complete when it is seen."""
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        if not force:
            raise _exists(target)
        if not (target / "oci-layout").is_file() or target.is_symlink():
            raise ConflictError(
                f"{target} is no image layout, and is not replaced.", hint="Name another folder."
            )
    draft = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}")
    with _told(target):
        try:
            _copy_layout(files, draft, name or "latest")
            if os.path.lexists(target):
                remove_tree(target)
            draft.rename(target)
        finally:
            with suppress(OSError):
                remove_tree(draft)


def _copy_layout(files: Path, into: Path, name: str) -> None:
    """Copies, not other names: whoever owns the folder may write to it."""
    from djed.toolbox.oci import Layout, named_index

    layout = Layout(files)
    blobs = Path("blobs/sha256")
    into.mkdir()
    (into / blobs).mkdir(parents=True)
    for path in sorted((files / blobs).iterdir()):
        shutil.copyfile(path, into / blobs / path.name, follow_symlinks=False)
    (into / "oci-layout").write_bytes(layout.read_file("oci-layout"))
    (into / "index.json").write_bytes(named_index(layout, name))


def _exists(target: Path) -> ConflictError:
    return ConflictError(
        f"{target} is there already.", hint="Choose another name, or replace it with --force."
    )


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DjedError(f"{target} cannot be written: {error.strerror}.") from error


# By skopeo


def _copy(files: Path, artifact: Artifact, to: Destination, *, insecure: bool, compress: bool) -> Pushed:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        raise MissingPartError(
            "Only skopeo brings an image there, and it is not on this machine.",
            hint=f"Install skopeo, or write a file that engines load: djed push {artifact.digest[7:19]} docker-archive:image.tar",
        )
    # Which images this machine accepts is a matter of images from elsewhere.
    command = [skopeo, "--insecure-policy", "copy", "--quiet"]
    with tempfile.TemporaryDirectory(prefix="djed-") as folder:
        digest_file = Path(folder, "digest")
        command += ["--digestfile", str(digest_file), *_options(to, insecure=insecure, compress=compress)]
        source = f"oci:{_without_colon(files, Path(folder))}"
        done = process.run(
            [*command, source, f"{to.way}:{'//' if to.way == 'docker' else ''}{to.place}"],
            timeout=_HOURS,
            check=False,
        )
        if done.code:
            raise _failed(done.stderr.decode(errors="replace"), to)
        digest = digest_file.read_text(encoding="ascii").strip() if to.way == "docker" else None
    return Pushed(destination=f"{to.way}:{to.place}" if to.way != "docker" else to.place, digest=digest)


def _options(to: Destination, *, insecure: bool, compress: bool) -> Iterator[str]:
    if to.way == "docker":
        if insecure:
            yield "--dest-tls-verify=false"
        if not compress:
            yield "--preserve-digests"
    elif to.way == "docker-daemon" and (host := os.environ.get("DOCKER_HOST")):
        yield from ("--dest-daemon-host", host)


def _without_colon(files: Path, folder: Path) -> Path:
    """The layout under a path in which no colon could be taken for the beginning of a tag."""
    link = folder / "layout"
    link.symlink_to(files.absolute())
    return link


def _failed(said: str, to: Destination) -> ToolError:
    lines = said.strip().splitlines() or [""]
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', lines[-1])
    message = (found[1].replace('\\"', '"') if found else lines[-1])[:600]
    hint = next((hint for word, hint in _HINTS.items() if word in message), None)
    return ToolError(f"The image could not be brought to {to.place}: {message}", hint=hint)
