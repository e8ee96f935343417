"""Microarchitectures as requirements name them: ``zen3``, ``x86_64_v3+``, ``x86_64_v2..x86_64_v4``; the order is archspec's."""

from __future__ import annotations

from difflib import get_close_matches

from djed.errors import Fault, RequestError
from djed.model.hardware import Hardware

__all__ = ["check_microarchitecture", "reaches"]


def check_microarchitecture(asked: str, path: str = "run.hardware.microarchitecture") -> None:
    """Raise ``RequestError`` with the nearest known name where ``asked`` names a microarchitecture that archspec does not know."""
    from archspec.cpu import TARGETS

    low, high = _bounds(asked)
    for name in (low,) if high is None else (low, high):
        if name not in TARGETS:
            near = get_close_matches(name, TARGETS, 1)
            known = "Names are those of archspec: x86_64_v3, zen4, neoverse_n1 …"
            raise _fault(
                path,
                f"There is no microarchitecture {name!r}",
                f"Did you mean {near[0]!r}?" if near else known,
            )
    if high is not None and TARGETS[high] < TARGETS[low]:
        raise _fault(path, f"{asked!r} is an empty range", "Write the older one first.")


def _fault(path: str, message: str, hint: str) -> RequestError:
    return RequestError(f"{message}.", faults=(Fault(path=path, message=message, hint=hint),), hint=hint)


def reaches(asked: str, hardware: Hardware) -> bool:
    """Whether a processor is at or above the lower bound and not beyond the upper one.

    A name alone means that or a descendant. An upper bound that is a generic level (``x86_64_v4``) is compared with the generic level of
    the processor, so ``zen3`` lies within ``x86_64_v2..x86_64_v4`` though archspec does not order the two.
    """
    low, high = _bounds(asked)
    if low not in hardware.compatible:
        return False
    return high is None or _within(hardware, high)


def _within(hardware: Hardware, high: str) -> bool:
    from archspec.cpu import TARGETS

    # A record may come from a newer archspec: then the nearest ancestor that we know speaks for it.
    name = next((name for name in hardware.compatible if name in TARGETS), None)
    if name is None:
        return False
    host, bound = TARGETS[name], TARGETS[high]
    return bool((host.generic if bound.vendor == "generic" else host) <= bound)


def _bounds(asked: str) -> tuple[str, str | None]:
    low, dots, high = asked.strip().removesuffix("+").partition("..")
    return low.strip(), high.strip() if dots else None
