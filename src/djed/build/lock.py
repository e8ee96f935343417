"""Locking: the job in which uv resolves an environment, and what becomes of its answer or of a lock that the request brings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from djed.build.base import INDEX_VARIABLES, build_variables, script
from djed.build.base import build_error as error
from djed.build.compatibility import Platform, marker_environment, marker_holds, platform_of, wheel_ranks
from djed.build.origins import check_addresses, with_origins
from djed.build.project import has_package_indexes, write_project
from djed.build.pylock import MAX_BYTES, check_package, read_pylock
from djed.errors import ToolError
from djed.model.codec import encode
from djed.model.hardware import Interpreter, Node
from djed.model.job import At, InputFile, Job, Limits
from djed.model.lock import Lock, LockedFile, LockedPackage
from djed.model.request import Environment, SandboxLevel
from djed.toolbox.digest import digest_json
from djed.toolbox.fs import open_regular

__all__ = ["given_lock", "lock_key", "needs_lock_job", "read_lock", "render_lock", "source_packages"]

# Raise it when the same question would get another answer from us.
_VERSION = 1


def lock_key(
    environment: Environment, interpreter: Interpreter, base: str, settings: Mapping[str, str] | None = None
) -> str:
    """Digest of all that decides the lock but the state of the indexes: the same question."""
    return digest_json(
        {
            "version": _VERSION,
            "base": base,
            "interpreter": encode(interpreter),
            "environment": encode(
                dataclasses.replace(environment, files=(), native=(), requirements=None, python=None)
            ),
            "settings": {name: value for name, value in (settings or {}).items() if name in INDEX_VARIABLES},
        }
    )


def needs_lock_job(environment: Environment) -> bool:
    """Whether uv must be asked: the request has no lock, or one that does not say where the files are."""
    lock = environment.lock
    return lock is None or any(not _addressed(package) for package in lock.packages)


def render_lock(
    environment: Environment,
    *,
    interpreter: Interpreter,
    node: Node,
    limits: Limits,
    sandbox: SandboxLevel | None = None,
    settings: Mapping[str, str] | None = None,
) -> Job:
    """The job that resolves the environment; read it with :func:`read_lock`.

    Resolving can run a package's build code, so its cache is its own.
    """
    platform = platform_of(environment, node)
    options: list[str] = ["--index-strategy", "first-index"]
    requirements: Sequence[str] = environment.packages
    if environment.lock is not None:
        options.append("--no-deps")
        variables = marker_environment(interpreter, node, platform)
        requirements = _pins(_applicable(environment, environment.lock, variables, interpreter.version))
    project = write_project(environment, requirements, interpreter=interpreter, arch=platform.arch)
    origins = ""
    if has_package_indexes(environment):
        origins = "origins"
        options.append("--universal")
    elif environment.platform:
        options += ["--python-platform", environment.platform]
    places = (At(place="uv"), At(place="python"), At(place="outputs"))
    return Job(
        kind="lock",
        command=("/bin/sh", "lock.sh", *places, origins, *options),
        files=(
            InputFile(path="lock.sh", text=script("lock.sh")),
            InputFile(path="pyproject.toml", text=project),
        ),
        variables=build_variables(environment, settings or {}),
        limits=limits,
        network=True,
        python=interpreter.path,
        cache="private",
        sandbox=sandbox,
        target=node.target,
        node=node.id,
    )


def read_lock(
    outputs: Path,
    environment: Environment,
    *,
    interpreter: Interpreter,
    node: Node,
    base: str,
    settings: Mapping[str, str] | None = None,
) -> Lock:
    """The lock that the job of :func:`render_lock` left in ``outputs``, which hostile code may have written.

    Raises ``BuildError`` where it holds something that the request excludes, ``ToolError`` where it makes no sense, ``UnsafeError`` for
    a link, or a private address that no index has.
    """
    platform = platform_of(environment, node)
    packages = read_pylock(_read(outputs, "pylock.toml"))
    packages = _unique(_holding(packages, marker_environment(interpreter, node, platform)))
    check_addresses(packages, environment, settings or {})
    if has_package_indexes(environment):
        packages = with_origins(packages, _read(outputs, "origins.txt"), environment)
    if environment.lock is not None:
        packages = _held_to(packages, environment.lock)
    return _lock(packages, interpreter=interpreter, platform=platform, base=base, given=environment.lock)


def given_lock(environment: Environment, *, interpreter: Interpreter, node: Node, base: str) -> Lock:
    """The complete lock of the request, narrowed to this interpreter and platform. Only where :func:`needs_lock_job` says no.

    Raises ``BuildError`` where it is not for this Python, or lacks a package that the request asks for beside it.
    """
    lock = environment.lock
    if lock is None:
        raise ValueError("the environment has no lock")
    platform = platform_of(environment, node)
    variables = marker_environment(interpreter, node, platform)
    packages = _applicable(environment, lock, variables, interpreter.version)
    return _lock(packages, interpreter=interpreter, platform=platform, base=base, given=lock)


def source_packages(lock: Lock) -> tuple[str, ...]:
    """Names of the packages that have no wheel for the lock's Python and platform: each is built first, by a job of its own."""
    return tuple(package.name for package in lock.packages if not package.wheels)


def _addressed(package: LockedPackage) -> bool:
    return any(file.url for file in (*package.wheels, *filter(None, [package.sdist])))


def _lock(
    packages: Sequence[LockedPackage],
    *,
    interpreter: Interpreter,
    platform: Platform,
    base: str,
    given: Lock | None,
) -> Lock:
    return Lock(
        python=interpreter.version,
        requires_python=given.requires_python if given else None,
        platform=str(platform),
        base=base,
        packages=tuple(sorted((_fitting(p, interpreter, platform) for p in packages), key=lambda p: p.name)),
        origin="given" if given else "resolved",
    )


def _fitting(package: LockedPackage, interpreter: Interpreter, platform: Platform) -> LockedPackage:
    """The package with only the wheels that fit, best first."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    ranks = wheel_ranks(interpreter, platform)
    ranked: list[tuple[int, tuple[int, ...], LockedFile]] = []
    for file in package.wheels:
        try:
            *_, build, tags = parse_wheel_filename(file.name)
        except InvalidWheelFilename:
            continue
        if file.url and (fits := [ranks[tag] for tag in tags if tag in ranks]):
            ranked.append((min(fits), (-build[0],) if build else (0,), file))
    wheels = tuple(file for *_, file in sorted(ranked, key=lambda item: item[:2]))
    sdist = package.sdist if package.sdist and package.sdist.url else None
    if not wheels and sdist is None:
        version = interpreter.version
        raise error(
            "lock",
            "no_wheel",
            f"{package.name} {package.version} has no wheel for Python {version} on {platform}, and no source to build one from.",
            hint="Choose another version of it, or another Python.",
            package=package.name,
            version=package.version,
            python=version,
            platform=str(platform),
        )
    return dataclasses.replace(package, marker=None, wheels=wheels, sdist=sdist)


def _applicable(
    environment: Environment, lock: Lock, variables: dict[str, str], python: str
) -> tuple[LockedPackage, ...]:
    """The packages of a lock of the request that are for this Python, checked against all that the request says."""
    packages = _unique(_holding(lock.packages, variables))
    for package in packages:
        check_package(package)
    _check_python(lock, python)
    _check_asked(environment.packages, packages, variables)
    return packages


def _holding(packages: Sequence[LockedPackage], variables: dict[str, str]) -> list[LockedPackage]:
    """The packages whose markers hold."""
    try:
        return [package for package in packages if marker_holds(package.marker, variables)]
    except (ValueError, KeyError, RecursionError) as wrong:
        raise ToolError("The lock has a marker that cannot be evaluated.") from wrong


def _unique(packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
    seen: dict[str, LockedPackage] = {}
    for package in packages:
        if package.name in seen:
            first = seen[package.name]
            raise error(
                "lock",
                "conflict",
                f"The lock has {package.name} twice for this Python: {first.version} and {package.version}.",
                package=package.name,
            )
        seen[package.name] = package
    return tuple(packages)


def _pins(packages: Sequence[LockedPackage]) -> list[str]:
    """Exact requirements; the markers of the lock are evaluated already."""
    return [
        f"{package.name}{'[' + ','.join(package.extras) + ']' if package.extras else ''}=={package.version}"
        for package in packages
    ]


def _held_to(packages: Sequence[LockedPackage], given: Lock) -> tuple[LockedPackage, ...]:
    """The packages with only the files whose hash the request names."""
    known = {package.name: package for package in given.packages}
    held = []
    for package in packages:
        wanted = known.get(package.name)
        if wanted is None:
            raise ToolError(f"The lock has {package.name}, which the lock of the request does not name.")
        hashes = _hashes(wanted)
        wheels = tuple(file for file in package.wheels if _matches(file, hashes))
        sdist = package.sdist if package.sdist and _matches(package.sdist, hashes) else None
        if not wheels and sdist is None:
            raise error(
                "lock",
                "hash_mismatch",
                f"No file of {package.name} {package.version} on the index has a hash that the request names.",
                hint="Either the lock is of another index, or the files were exchanged. Lock again only if you know why.",
                package=package.name,
                version=package.version,
            )
        index = package.index or wanted.index
        held.append(dataclasses.replace(package, wheels=wheels, sdist=sdist, index=index))
    return tuple(held)


def _hashes(package: LockedPackage) -> frozenset[str]:
    files = [*package.wheels, *filter(None, [package.sdist])]
    return frozenset(package.hashes) | {
        f"{name}:{text}" for file in files for name, text in file.hashes.items()
    }


def _matches(file: LockedFile, hashes: frozenset[str]) -> bool:
    return any(f"{name}:{text}" in hashes for name, text in file.hashes.items())


def _check_python(lock: Lock, python: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = SpecifierSet(lock.requires_python or "").contains(python, prereleases=True)
    except InvalidSpecifier as wrong:
        raise ToolError(f"The lock's requires-python is none: {lock.requires_python!r:.80}.") from wrong
    if not fits:
        raise error(
            "lock",
            "python_incompatible",
            f"The lock is for Python {lock.requires_python}, not for {python}.",
            hint="Ask for a Python that it is for, in environment.python.",
            python=python,
        )


def _check_asked(
    requirements: Sequence[str], packages: Sequence[LockedPackage], variables: dict[str, str]
) -> None:
    """Whether a complete lock holds what the request asks for beside it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    stack = {package.name: package.version for package in packages}
    for line in requirements:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({**variables, "extra": ""}):
            continue
        name = canonicalize_name(wanted.name)
        if name not in stack or not wanted.specifier.contains(stack[name], prereleases=True):
            raise error(
                "lock",
                "conflict",
                f"The request asks for {line!r}, but its lock has {name} {stack.get(name, 'not at all')}.",
                hint="Leave out environment.packages, or the lock.",
                package=name,
            )


def _read(outputs: Path, name: str) -> bytes:
    if not os.path.lexists(outputs / name):
        raise ToolError(f"The lock job ended well, but left no {name}.")
    with open_regular(outputs, name) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
        return stream.read(MAX_BYTES + 1)
