"""What the type of a field cannot say: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from djed.config import Config
from djed.intake.addresses import check_download, check_index
from djed.intake.faults import WrongValueError, quote
from djed.intake.shape import Check
from djed.intake.specifications import (
    check_normalised,
    check_python,
    check_requirement,
    check_specifier,
    check_version,
    normalise,
)
from djed.intake.words import (
    between,
    check_date,
    check_digest,
    check_file_name,
    check_kernel,
    check_microarchitecture,
    check_name,
    check_os,
    check_path,
    check_secret,
    check_text,
    check_value,
    check_variable,
    check_word,
)
from djed.model.base import hint_for, parse_base
from djed.model.contents import NativePackage
from djed.model.lock import LockedPackage
from djed.model.quantity import parse_duration, parse_range, parse_size
from djed.model.secret import SECRETS_PER_REQUEST

__all__ = ["HASHES", "field_checks"]


HASHES = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Hexadecimal digits by algorithm: those of which no two files with the same digest are known."""


def _positive(read: Callable[[Any], float]) -> Check:
    def check(value: Any) -> None:
        if read(value) <= 0:
            raise ValueError(f"{quote(value)} is not more than nothing")

    return check


def _check_cpu(value: Any) -> None:
    if parse_range(value).high == 0:
        raise ValueError(f"{quote(value)} is not more than nothing")


def _check_package(text: str) -> None:
    check_normalised(normalise(text))


def _check_base(text: str) -> None:
    try:
        parse_base(text)
    except ValueError as error:
        raise WrongValueError(f"{quote(text)} is no base: {error}", hint=hint_for(text)) from error


def _check_targets(targets: tuple[str, ...]) -> None:
    if not targets:
        raise WrongValueError("there is no target", hint="Leave the key out for this machine.")
    _check_build_targets(targets)


def _check_build_targets(targets: tuple[str, ...]) -> None:
    if len(set(targets)) < len(targets):
        raise ValueError("a target is there twice")


def _check_secrets(names: tuple[str, ...]) -> None:
    if len(names) > SECRETS_PER_REQUEST:
        raise ValueError(f"a job can have {SECRETS_PER_REQUEST} secrets at most")
    if len(set(names)) < len(names):
        raise ValueError("a secret is there twice")


def _check_marker(text: str) -> None:
    from packaging.markers import InvalidMarker, Marker

    if len(text) > 2000:
        raise ValueError("an environment marker has at most 2000 characters")
    try:
        Marker(text)
    except (InvalidMarker, RecursionError) as error:
        raise WrongValueError(f"{quote(text)} is not an environment marker") from error


def _check_native(packages: tuple[NativePackage, ...]) -> None:
    """What was installed when the lock was made; it is found out anew."""
    if len(packages) > 10_000:
        raise ValueError("there are more than 10,000 native packages")


def _check_locked(package: LockedPackage) -> None:
    if not (package.wheels or package.sdist or package.hashes):
        raise WrongValueError(
            f"{quote(package.name)} has no hash", hint="What a lock brings is verified by its hash."
        )


def _check_hashes(hashes: Mapping[str, str]) -> None:
    known = [f"{algorithm}:{digest}" for algorithm, digest in hashes.items() if algorithm in HASHES]
    if not known:
        raise ValueError(f"there is no hash: one of {', '.join(HASHES)} is needed")
    for text in known:
        _check_hash(text)


def _check_hash(text: str) -> None:
    algorithm, _, digest = text.partition(":")
    length = HASHES.get(algorithm)
    if length is None:
        raise ValueError(f"{quote(text)} is not a hash: write {', '.join(HASHES)} and the digest")
    if len(digest) != length or not set(digest) <= set("0123456789abcdef"):
        raise ValueError(f"{quote(text)} is not a hash: {algorithm} has {length} hexadecimal digits")


_sizes = partial(parse_range, unit=parse_size)

_CHECKS: Mapping[str, Check] = {
    "Request.name": check_name,
    "Request.priority": between(-1000, 1000),
    "Request.labels.keys": check_name,
    "Request.labels.values": check_value,
    "Environment.base": _check_base,
    "Environment.python": check_python,
    "Environment.requirements": check_text,
    "Environment.native[]": check_word,
    "Environment.exclude_newer": check_date,
    "Environment.platform": check_word,
    "Environment.variables.keys": check_variable,
    "Environment.variables.values": check_value,
    "Index.name": check_name,
    "Index.packages[]": _check_package,
    "File.path": check_path,
    "File.source": check_text,
    "File.digest": check_digest,
    "File.size": between(0, 2**50),
    "Resources.cpu": _check_cpu,
    "Resources.memory": _positive(parse_size),
    "Resources.disk": _positive(parse_size),
    "Resources.gpu": between(0, 1024),
    "Resources.processes": between(1, 2**22),
    "Gpu.model": check_text,
    "Gpu.count": parse_range,
    "Gpu.memory": _sizes,
    "HardwareRequirement.arch": check_word,
    "HardwareRequirement.microarchitecture": check_microarchitecture,
    "HardwareRequirement.cpu_vendor": check_text,
    "HardwareRequirement.cpu_family": parse_range,
    "HardwareRequirement.cpu_model": parse_range,
    "HardwareRequirement.processor": check_text,
    "HardwareRequirement.cpu_flags[]": check_word,
    "HardwareRequirement.physical_cpus": parse_range,
    "HardwareRequirement.cores": parse_range,
    "HardwareRequirement.memory": _sizes,
    "HardwareRequirement.os": check_os,
    "HardwareRequirement.kernel": check_kernel,
    "HardwareRequirement.labels.keys": check_name,
    "HardwareRequirement.labels.values": check_text,
    "Build.timeout": _positive(parse_duration),
    "Build.targets": _check_build_targets,
    "Build.targets[]": check_name,
    "Run.command[]": check_value,
    "Run.arguments[]": check_value,
    "Run.repeat": between(1, 1000),
    "Run.warmup": between(0, 100),
    "Run.timeout": _positive(parse_duration),
    "Run.targets": _check_targets,
    "Run.targets[]": check_name,
    "Run.secrets": _check_secrets,
    "Run.secrets[]": check_secret,
    "Run.variables.keys": check_variable,
    "Run.variables.values": check_value,
    "Lock.python": check_version,
    "Lock.requires_python": check_specifier,
    "Lock.platform": check_word,
    "Lock.base": check_digest,
    "Lock.native": _check_native,
    "LockedPackage.name": check_normalised,
    "LockedPackage.version": check_version,
    "LockedPackage.index": check_name,
    "LockedPackage.marker": _check_marker,
    "LockedPackage.extras[]": _check_package,
    "LockedPackage.hashes[]": _check_hash,
    "Lock.packages[]": _check_locked,
    "LockedFile.name": check_file_name,
    "LockedFile.hashes": _check_hashes,
    "LockedFile.size": between(0, 2**50),
    "LockedFile.uploaded": check_text,
}


def field_checks(config: Config) -> Mapping[str, Check]:
    """The check of each field, of its items, and of its keys and values."""
    private = config.indexes_allow_private
    return {
        **_CHECKS,
        "Environment.packages[]": partial(check_requirement, allow_private=private),
        "Environment.constraints[]": partial(check_requirement, allow_private=private),
        "Index.url": partial(check_index, allow_private=private),
        "LockedFile.url": partial(check_download, allow_private=private),
    }
