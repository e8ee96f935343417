"""A request to Amun (the InspectionSpecification of its API, version 0.10) as a request of ours.

Its shape is read here, with Amun's paths; what the values may be is checked as in every request, and ``_origin`` gives each fault
of the translation the path and line that it has in the file. Top-level keys that are not in :class:`Specification` say nothing
about the inspection (``package_manager``, ``update``, ``send_messages``, ``@created`` …), and Amun took any others too.
"""

from __future__ import annotations

import platform
import posixpath
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, Literal

from djed.config import Config
from djed.intake import pipfile
from djed.intake.checks import field_checks
from djed.intake.document import Document, tidy
from djed.intake.faults import Faults, Place, UnreadableError, WrongValueError, stop
from djed.intake.shape import Check, Reader
from djed.intake.specifications import normalise
from djed.intake.submission import Submission
from djed.intake.validate import validate
from djed.intake.words import check_path
from djed.model.request import Build, Run

__all__ = ["Specification", "read", "recognise", "translate"]

_HOME = "/home/amun/"
_DEADLINE = "4h"
"""What Amun gave a build and all its runs together; a request could not ask for more or less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """The CPU that is asked for."""

    cpu_family: int | None = None
    cpu_model: int | None = None
    processor: str | None = None
    physical_cpus: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Requests:
    """Resources, which were requests and limits of a pod alike, and hardware."""

    cpu: str | float | None = None
    memory: str | int | None = None
    hardware: Hardware | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The build, or each run."""

    requests: Requests | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file that is written into the image."""

    path: str
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """An environment variable."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Python:
    """The stack: a Pipfile and a Pipfile.lock as JSON. Amun took the other two and did not use them."""

    requirements: Mapping[str, Any] | None = None
    requirements_locked: Mapping[str, Any] | None = None
    runtime_environment: Any = None
    constraints: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Specification:
    """What of Amun's InspectionSpecification says something about the inspection."""

    base: str = "host"
    identifier: str | None = None
    batch_size: int | str | None = None
    """Text in what Amun stored before August 2020."""
    packages: tuple[str, ...] | None = None
    python_packages: tuple[str, ...] | None = None
    python: Python | None = None
    build: Stage | None = None
    run: Stage | None = None
    files: tuple[Written, ...] | None = None
    environment: tuple[Variable, ...] | None = None
    script: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """What has no effect here: uv installs, nothing is updated in place, nobody is sent a message, no failure stops the others."""

    package_manager: Literal["micropipenv", "pipenv"] | None = None
    update: bool | None = None
    upgrade_pip: bool | None = None
    send_messages: bool | None = None
    force_sync: bool | None = None
    parallelism: int | None = None
    allowed_failures: int | None = None


def read(data: Mapping[str, Any], *, config: Config) -> Submission:
    """What can be nothing but a request to Amun, whatever it looks like. Raises ``RequestError`` with every fault."""
    document = translate(_document(data), field_checks(config))
    return validate(document, config=config, folder=None)


def _document(data: Mapping[str, Any]) -> Document:
    """With the faults that Amun's schema finds beside ours."""
    try:
        whole = tidy(data)
    except UnreadableError as error:
        raise stop("request", str(error)) from error
    faults = Faults("request")
    if whole.get("base") is None:
        faults.add(("base",), "is missing")
    Reader({}, faults).noun(Idle, {key: whole[key] for key in whole.keys() & _names(Idle)})
    return Document(name="request", data=whole, found=tuple(faults.found))


def recognise(data: Mapping[str, Any]) -> bool:
    """Whether a request is Amun's: it has a ``base`` at the top, where ours has none, and nothing that only ours has."""
    return (
        isinstance(data.get("base"), str)
        and not isinstance(data.get("environment"), Mapping)
        and not _says(data.get("build"), Build)
        and not _says(data.get("run"), Run)
    )


def translate(document: Document, checks: Mapping[str, Check]) -> Document:
    """The same request as ours, with the faults of its shape; to be validated like any other. ``checks`` are those of our fields."""
    faults = Faults(document.name, document.lines, found=document.found)
    known = _names(Specification)
    data = {key: value for key, value in document.data.items() if key in known}
    reader = Reader(_checks(checks), faults)
    found: Specification = reader.noun(Specification, data)
    stack = _stack(found.python or Python(), faults)
    return Document(
        name=document.name,
        data=_request(found, stack),
        lines=document.lines,
        origin=partial(_origin, _homes(found, stack)),
        found=tuple(faults.found),
    )


def _request(found: Specification, stack: Mapping[str, Any]) -> dict[str, Any]:
    """A request as plain values, unchecked."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", found.identifier or "").strip("-")[:100]
    return {
        **({"name": name} if name else {}),
        "environment": {
            **stack,
            "base": _base(found),
            "packages": _packages(found, stack),
            "native": list(found.packages or ()),
            "files": [{"path": _inside(file.path), "content": file.content} for file in found.files or ()],
            # Where a name is there twice, the last one held.
            "variables": {variable.name: variable.value for variable in found.environment or ()},
        },
        "build": _stage(found.build),
        **({"run": _run(found, found.script)} if found.script else {}),
    }


def _base(found: Specification) -> str:
    """This machine's own system is the host, which is there already; unless native packages are to go into it."""
    system, versions = _own_system()
    *above, last = found.base.split("/")
    if above and (above[0] == "localhost" or not {".", ":"}.isdisjoint(above[0])):
        above = above[1:]  # a registry
    own = above in ([], ["library"]) and last.removesuffix("-slim") in {
        f"{system}:{item}" for item in versions
    }
    return "host" if own and not found.packages else found.base


def _packages(found: Specification, stack: Mapping[str, Any]) -> list[str]:
    """Packages to lock. Beside a lock there are none: Amun had the script in a virtual environment that did not see them."""
    return [] if "lock" in stack else [*(found.python_packages or ()), *stack.get("packages", ())]


def _run(found: Specification, script: str) -> dict[str, Any]:
    # With a stack, Amun gave the script to its Python.
    is_python = bool(found.python or found.python_packages) and not script.startswith("#!")
    return {
        **_stage(found.run),
        "script": {"path": "script.py" if is_python else "script", "content": script, "executable": True},
        "repeat": _count(found.batch_size),
    }


def _stage(stage: Stage | None) -> dict[str, Any]:
    requests = (stage and stage.requests) or Requests()
    return {
        "resources": {"cpu": requests.cpu, "memory": requests.memory},
        "hardware": asdict(requests.hardware or Hardware()),
        "timeout": _DEADLINE,
    }


def _count(size: int | str | None) -> int | str:
    if isinstance(size, str) and re.fullmatch(r"[0-9]{1,9}", size):
        return int(size)
    return 1 if size is None else size


def _stack(python: Python, faults: Faults) -> dict[str, Any]:
    """What the lock says, or what the requirements say where there is none. The Python version may stand in either."""
    asked = python.requirements or {}
    if python.requirements_locked is not None:
        asked = {key: value for key, value in asked.items() if key == "requires"}
    found = pipfile.read(asked, faults.at(("python", "requirements"), "Pipfile"))
    if python.requirements_locked is None:
        return found
    complain = faults.at(("python", "requirements_locked"), "Pipfile.lock")
    return found | pipfile.read_lock(python.requirements_locked, complain)


def _homes(found: Specification, stack: Mapping[str, Any]) -> dict[Place, Place]:
    """Where in Amun's request stands what has a place in ours; what lies below moves along."""
    homes: dict[Place, Place] = {
        ("environment", "base"): ("base",),
        ("run", "repeat"): ("batch_size",),
        ("run", "script"): ("script",),
        ("run", "script", "content"): ("script",),
        ("environment", "native"): ("packages",),
        ("environment", "files"): ("files",),
    }
    for stage in ("build", "run"):
        homes[stage, "resources"] = (stage, "requests")
        homes[stage, "hardware"] = (stage, "requests", "hardware")
    return homes | _stack_homes(found, stack)


def _stack_homes(found: Specification, stack: Mapping[str, Any]) -> dict[Place, Place]:
    asked, locked = ("python", "requirements"), ("python", "requirements_locked")
    is_locked = "lock" in stack
    homes: dict[Place, Place] = {
        ("environment", "python"): (*locked, "_meta", "requires") if is_locked else (*asked, "requires"),
        ("environment", "indexes"): (*locked, "_meta", "sources") if is_locked else (*asked, "source"),
        ("environment", "lock"): locked,
        ("environment", "lock", "packages"): (*locked, "default"),
    }
    for number, text in enumerate(stack.get("packages", ()), len(found.python_packages or ())):
        name = re.split(r"[^\w.-]", text, maxsplit=1)[0]
        homes["environment", "packages", number] = (*asked, "packages", name)
    packages = ((found.python and found.python.requirements_locked) or {}).get("default")
    if is_locked and isinstance(packages, Mapping):
        keys = {normalise(key): key for key in packages}
        for number, package in enumerate(stack["lock"]["packages"]):
            homes["environment", "lock", "packages", number] = (*locked, "default", keys[package["name"]])
    return homes


def _origin(homes: Mapping[Place, Place], place: Place) -> Place:
    for length in range(len(place), 0, -1):
        if place[:length] in homes:
            return (*homes[place[:length]], *place[length:])
    return ()


def _says(value: Any, kind: type[Build | Run]) -> bool:
    return isinstance(value, Mapping) and not value.keys().isdisjoint(_names(kind))


def _names(kind: type[Build | Run | Specification | Idle]) -> frozenset[str]:
    return frozenset(item.name for item in fields(kind))


def _inside(path: str) -> str:
    """The path in the working directory, which was ``/home/amun``. A file at the top of the root has come along too."""
    path = path.removeprefix(_HOME)
    return path[1:] if posixpath.dirname(path) == "/" else path


def _check_inside(path: str) -> None:
    check_path(_inside(path))


def _check_script(text: str) -> None:
    if re.match(r"https?://", text.lstrip(), re.IGNORECASE):
        raise WrongValueError(
            "a script is not fetched from an address", hint="Give its text, or write a request with its path."
        )


def _own_system() -> tuple[str, list[str]]:
    """ID, and version and codename, of this machine's os-release."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "", []
    versions = [release[key] for key in ("VERSION_ID", "VERSION_CODENAME") if release.get(key)]
    return release["ID"], versions


def _checks(ours: Mapping[str, Check]) -> Mapping[str, Check]:
    return {
        "Specification.base": ours["Environment.base"],
        "Specification.script": _check_script,
        "Specification.packages[]": ours["Environment.native[]"],
        "Specification.python_packages[]": ours["Environment.packages[]"],
        "Written.path": _check_inside,
        "Variable.name": ours["Environment.variables.keys"],
        "Variable.value": ours["Environment.variables.values"],
    }
