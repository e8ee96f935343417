"""``base KIND SOURCE OUTPUTS ARCH``: what a request names as its base becomes ``OUTPUTS/image``, and what is known of it ``facts.json``."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from djed.build.inside.engine import Driver, attempt_name, given_engines
from djed.build.inside.facts import write_facts
from djed.build.inside.report import FailedError, say
from djed.errors import DjedError, RefusedError, UnreadableError, UnsafeError
from djed.toolbox.fs import remove_tree
from djed.toolbox.oci import ImageKind, import_image, platform_of
from djed.toolbox.process import follow

__all__ = ["run"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_UNKNOWN = re.compile(
    r"manifest unknown|name unknown|not found|does not exist|unauthorized|requested access to the resource is denied",
    re.IGNORECASE,
)
_OTHER_ARCH = re.compile(
    r"no (?:image|child|matching manifest)[^\n]{0,80}(?:architecture|platform|linux/)", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fetched:
    """An image that was brought here."""

    form: ImageKind
    path: Path
    digest: str | None = None
    """That the name led to, where who brought it knows it."""


def run(arguments: Sequence[str]) -> None:
    """Raises ``FailedError`` where there is no such base, it is damaged, or for another machine."""
    kind, source, place, arch = arguments
    outputs = Path(place)
    work = Path.cwd() / "base-work"
    work.mkdir()
    try:
        fetched = (
            _fetch(source, work, outputs, arch)
            if kind == "name"
            else _Fetched(form=_form(kind), path=Path(source))
        )
        _import(fetched, outputs, arch)
    finally:
        remove_tree(work)


def _form(kind: str) -> ImageKind:
    if kind not in get_args(ImageKind):
        raise FailedError("internal", f"There is no kind of base {kind!r}")
    return kind  # type: ignore[return-value]


def _import(fetched: _Fetched, outputs: Path, arch: str) -> None:
    layout = outputs / "image"
    if not os.path.lexists(fetched.path):
        raise FailedError("no_such_base", f"There is no {fetched.path}.")
    try:
        image = import_image(fetched.path, fetched.form, layout, arch=arch)
        write_facts(layout, image, outputs, digest=fetched.digest)
    except RefusedError as error:
        raise FailedError("base_mismatch", error.message, hint=error.hint) from error
    except (UnsafeError, UnreadableError) as error:
        raise FailedError("base_damaged", error.message, hint=error.hint) from error


# --- By name


def _fetch(name: str, work: Path, outputs: Path, arch: str) -> _Fetched:
    """Look into the engines' own storage, then ask the registry: by skopeo, which leaves nothing behind, else by the engine."""
    engines = given_engines()
    if any(engine.name == "podman" for engine in engines):
        engines = tuple(engine for engine in engines if engine.name != "buildah")  # they share their storage
    drivers = [Driver(engine, attempt_name(outputs), Path.cwd()) for engine in engines]
    denied: FailedError | None = None
    for driver in drivers:
        try:
            if driver.find(name):
                return _saved(driver, name, work)
        except FailedError as error:
            denied = error  # another engine, or the registry, may still have it
            say(error.message)
    tried = [driver.engine.name for driver in drivers]
    try:
        if shutil.which("skopeo"):
            return _copy(name, work, arch, tried)
        if drivers:
            return _pull(drivers[0], name, work, arch=arch, tried=tried)
    except FailedError as error:
        if denied is not None and error.kind != "base_mismatch":
            raise denied from error
        raise
    raise FailedError(
        "no_engine",
        f"{name} is the name of an image, and there is neither a container engine nor skopeo to fetch it.",
    )


def _saved(driver: Driver, name: str, work: Path) -> _Fetched:
    target = work / "image.tar"
    driver.save(name, target, private=False)
    return _Fetched(form="docker-archive", path=target, digest=_asked(name) or driver.digest_of(name))


def _copy(name: str, work: Path, arch: str, tried: Sequence[str]) -> _Fetched:
    tool = [
        "skopeo",
        "--insecure-policy",
        "--override-os",
        "linux",
        "--override-arch",
        platform_of(arch).architecture,
    ]
    insecure = _insecure(name)
    lines: list[str] = []
    plain = re.sub(r"(:[\w.-]+)?(?=@)", "", name)  # a tag beside a digest is refused, and says nothing
    option = ["--tls-verify=false"] if insecure else []
    code = follow(
        [*tool, "inspect", "--no-tags", *option, "--format", "{{.Digest}}", f"docker://{plain}"], lines.append
    )
    digest = next((line for line in lines if _DIGEST.fullmatch(line)), None)
    if code or digest is None:
        raise _refused(name, lines, tried)
    option = ["--src-tls-verify=false"] if insecure else []
    source = f"docker://{_without_tag(plain)}@{digest}"
    lines.clear()
    if follow(
        [*tool, "copy", *option, source, f"oci:{work.name}/layout:base"], lines.append, cwd=work.parent
    ):
        raise _refused(name, lines, tried)
    return _Fetched(form="oci", path=work / "layout", digest=digest)


def _pull(driver: Driver, name: str, work: Path, *, arch: str, tried: Sequence[str]) -> _Fetched:
    target = work / "image.tar"
    try:
        driver.pull(name, platform_of(arch).architecture, insecure=_insecure(name))
        driver.save(name, target, private=True)
    except FailedError as error:
        if error.kind != "engine_failed":
            raise
        raise _refused(name, [error.message], tried) from error
    finally:
        driver.clean(*([name] if driver.engine.name == "docker" else []))
    return _Fetched(form="docker-archive", path=target, digest=_asked(name))


def _refused(name: str, lines: Sequence[str], tried: Sequence[str]) -> DjedError:
    """Why a registry gave no image."""
    for line in lines:
        say(line)
    said = "\n".join(lines)
    if _OTHER_ARCH.search(said):
        return FailedError("base_mismatch", f"{name} has no image for this kind of machine")
    if _UNKNOWN.search(said) and "no such host" not in said:
        return FailedError("no_such_base", f"There is no image {name}, {_places(tried, name)}.")
    reason = (
        next((line for line in reversed(lines) if line.strip()), "it does not say why")
        .rpartition("msg=")[2]
        .strip('"')
    )
    return FailedError("repository_unreachable", f"{name} cannot be fetched from {_registry(name)}: {reason}")


def _places(engines: Sequence[str], name: str) -> str:
    registry = f"at the registry {_registry(name)}"
    return (
        f"neither among the images of {' and '.join(engines)} nor {registry}"
        if engines
        else f"at least none {registry}"
    )


def _registry(name: str) -> str:
    first, slash, _ = name.partition("/")
    return (
        first
        if slash and (first == "localhost" or "." in first or ":" in first)
        else "that is asked by default"
    )


def _insecure(name: str) -> bool:
    """Whether the settings say that its registry is spoken to without TLS."""
    return _registry(name) in os.environ.get("DJED_INSECURE_REGISTRIES", "").split(",")


def _asked(name: str) -> str | None:
    digest = name.rpartition("@")[2]
    return digest if _DIGEST.fullmatch(digest) else None


def _without_tag(name: str) -> str:
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
