"""Which wheels fit an interpreter on a platform, and what environment markers say there.

Computed, not asked: the node may be another machine.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from djed.build.base import build_error
from djed.model.hardware import Interpreter, Node
from djed.model.request import Environment

if TYPE_CHECKING:
    from packaging.tags import Tag

__all__ = ["Platform", "marker_environment", "marker_holds", "platform_of", "wheel_ranks"]

# Names that manylinux had before PEP 600, by glibc minor version.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# Minor version of glibc that uv means by a platform without one.
_GLIBC_OF_PLAIN_LINUX = 28


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """A Linux platform as wheels see it."""

    arch: str
    libc: str | None = None
    """``glibc2.36``, ``musl1.2``; ``None`` where unknown: then only plain ``linux`` wheels fit."""

    def __str__(self) -> str:
        return f"linux-{self.arch}" + (f"-{self.libc}" if self.libc else "")

    def tags(self) -> tuple[str, ...]:
        """Platform tags, best first (PEP 600, PEP 656)."""
        names: list[str] = []
        match = re.fullmatch(r"(glibc|musl)(\d+)\.(\d+)", self.libc or "")
        if match and match[1] == "musl":
            names = [f"musllinux_{match[2]}_{minor}_{self.arch}" for minor in range(int(match[3]), -1, -1)]
        elif match and match[2] == "2":
            for minor in range(int(match[3]), 4, -1):
                names.append(f"manylinux_2_{minor}_{self.arch}")
                if minor in _OLD_NAMES:
                    names.append(f"{_OLD_NAMES[minor]}_{self.arch}")
        return (*names, f"linux_{self.arch}")


def platform_of(environment: Environment, node: Node) -> Platform:
    """The platform that the environment asks for (uv's names), else the node's. Raises ``BuildError`` for one that is not Linux."""
    name = environment.platform
    if name is None:
        return Platform(arch=node.hardware.arch, libc=node.hardware.libc)
    if match := re.fullmatch(r"([a-z0-9_]+?)-manylinux_2_(\d+)", name):
        return Platform(arch=match[1], libc=f"glibc2.{match[2]}")
    if match := re.fullmatch(r"([a-z0-9_]+?)-manylinux2014", name):
        return Platform(arch=match[1], libc="glibc2.17")
    if match := re.fullmatch(r"([a-z0-9_]+?)-unknown-linux-(gnu|musl)", name):
        return Platform(
            arch=match[1], libc="musl1.2" if match[2] == "musl" else f"glibc2.{_GLIBC_OF_PLAIN_LINUX}"
        )
    if name == "linux":
        return Platform(arch="x86_64", libc=f"glibc2.{_GLIBC_OF_PLAIN_LINUX}")
    raise build_error(
        "lock",
        "refused",
        f"The platform {name!r} is none that environments are built for.",
        hint="Name a Linux platform as uv does, for example aarch64-manylinux_2_28.",
        platform=name,
    )


@lru_cache(maxsize=32)
def wheel_ranks(interpreter: Interpreter, platform: Platform) -> dict[Tag, int]:
    """Rank of each wheel tag that fits, 0 the best (PEP 425)."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = (int(part) for part in interpreter.version.split(".")[:2])
    name, platforms = f"cp{major}{minor}", platform.tags()
    ranks: dict[Tag, int] = {}
    # Until 3.7 the ABI was named with the flag of its memory allocator.
    abi = name if (major, minor) >= (3, 8) else f"{name}m"
    for tag in cpython_tags((major, minor), [abi], platforms):
        ranks.setdefault(tag, len(ranks))
    for tag in compatible_tags((major, minor), name, platforms):
        ranks.setdefault(tag, len(ranks))
    return ranks


def marker_environment(interpreter: Interpreter, node: Node, platform: Platform) -> dict[str, str]:
    """The variables of environment markers (PEP 508) for an interpreter there."""
    return {
        "implementation_name": interpreter.implementation,
        "implementation_version": interpreter.version,
        "os_name": "posix",
        "platform_machine": platform.arch,
        "platform_python_implementation": "CPython",
        "platform_release": node.hardware.kernel or "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": interpreter.version,
        "python_version": ".".join(interpreter.version.split(".")[:2]),
        "sys_platform": "linux",
    }


def marker_holds(marker: str | None, variables: dict[str, str]) -> bool:
    """Whether a marker of a lock holds; no extra and no dependency group is chosen. Raises ``ValueError`` for what is no marker."""
    if marker is None:
        return True
    from packaging.markers import Marker

    none: frozenset[str] = frozenset()
    chosen: dict[str, str | AbstractSet[str]] = {**variables, "extras": none, "dependency_groups": none}
    return Marker(marker).evaluate(chosen, context="lock_file")
