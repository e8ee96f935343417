"""Order of Debian versions, and whether an installed one satisfies a relation (deb-version(7))."""

from __future__ import annotations

import re

__all__ = ["compare", "satisfies"]

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_SIGNS = {
    "<<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    "<": lambda order: order <= 0,  # as dpkg takes the old form
    "=": lambda order: order == 0,
    ">=": lambda order: order >= 0,
    ">": lambda order: order >= 0,
    ">>": lambda order: order > 0,
}


def compare(one: str, other: str) -> int:
    """Negative where ``one`` is the earlier, zero where they are equal."""
    epoch, upstream, revision = _split(one)
    other_epoch, other_upstream, other_revision = _split(other)
    return (
        epoch - other_epoch
        or _compare_part(upstream, other_upstream)
        or _compare_part(revision, other_revision)
    )


def satisfies(version: str, sign: str, wanted: str) -> bool:
    """Whether ``version`` fits a relation like ``>= 2.34``."""
    return sign in _SIGNS and _SIGNS[sign](compare(version, wanted))


def _split(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdecimal() and len(epoch) < 16):
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-")
    return int(epoch), upstream or revision, revision if upstream else ""


def _compare_part(one: str, other: str) -> int:
    mine, yours = _PARTS.findall(one), _PARTS.findall(other)
    length = max(len(mine), len(yours))
    padding = [("", "")]
    for (text, number), (other_text, other_number) in zip(
        mine + padding * (length - len(mine)), yours + padding * (length - len(yours)), strict=True
    ):
        if text != other_text:
            first, second = _weights(text), _weights(other_text)
            if first != second:
                return -1 if first < second else 1
        first_number, second_number = number.lstrip("0"), other_number.lstrip("0")
        # A longer number is the larger one: no need to make numbers of digits that a hostile file may have millions of.
        if (len(first_number), first_number) != (len(second_number), second_number):
            return -1 if (len(first_number), first_number) < (len(second_number), second_number) else 1
    return 0


def _weights(text: str) -> list[int]:
    """A tilde is before the end, the end before letters, letters before all else."""
    return [-1 if sign == "~" else ord(sign) if sign.isalpha() else ord(sign) + 0x200000 for sign in text] + [
        0
    ]
