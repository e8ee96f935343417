"""What our own program says that makes images inside jobs: ``djed: error: KIND: MESSAGE``, and what its engine's storage says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from djed.model.observation import Failure, FailureClass
from djed.observe.case import Case

__all__ = ["disk_full", "is_ours", "said"]

_ERROR = re.compile(r"djed: error: ([a-z_]{1,40}): (\S.{0,2000})")
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_HINT = re.compile(r"djed: hint: (\S.{0,2000})")

_SOURCE = "/djed/source"

_HINTS: Mapping[str, str] = {
    "no_such_base": "Check environment.base; log in with the engine's own command where the image needs it.",
    "base_mismatch": "Name a base for this kind of machine, and one alone.",
    "base_damaged": "Make the archive again, or fetch it again; do not trust it where it comes from others.",
    "no_engine": "Install podman, buildah or Docker; `djed doctor` says what is wrong with one that is there.",
    "engine_denied": "Give the user of Djed the right to use the engine, or use another one; `djed doctor` says which work.",
    "engine_failed": "Look in the log for what the engine says; `djed doctor` says which work. Then `djed retry`.",
    "repository_unreachable": "Check the name of the registry, the network and the proxy, then `djed retry`.",
    "disk_full": "Free space where Djed keeps its data (`djed gc`), and in the storage of the engine.",
    "internal": "`djed doctor`; else please report it.",
}
"""By the classes that the program may name, for which the rest of the log is no better witness."""


def is_ours(case: Case) -> bool:
    """Whether it is the log of our own program, so that what it quotes may be read."""
    return any(line.startswith("djed: error: ") for line in case.stderr)


def said(case: Case) -> Failure | None:
    """The class that the program names itself."""
    found = [match for line in case.stderr if (match := _ERROR.fullmatch(line))]
    if not found or found[-1][1] not in _HINTS:
        return None
    kind, message = cast("FailureClass", found[-1][1]), found[-1][2]
    hints = [match[1] for line in case.stderr if (match := _HINT.fullmatch(line))]
    before = [line for line in case.stdout if line.strip()][-8:]
    # In the sandbox it lies elsewhere.
    message = message.replace(_SOURCE, str(case.context.get("base", _SOURCE)).partition(":")[2] or _SOURCE)
    return case.failure(
        kind,
        message,
        hint=hints[-1] if hints else _HINTS[kind],
        shown=[*before, found[-1][0]],
    )


def disk_full(case: Case) -> Failure | None:
    """There was no room for the image, here or in the engine's storage."""
    shown = [line for line in case.log[-100:] if _NO_SPACE.search(line)] if is_ours(case) else []
    if not shown:
        return None
    return case.failure(
        "disk_full",
        "There was no space left on the disk for the image.",
        hint=_HINTS["disk_full"],
        shown=shown,
    )
