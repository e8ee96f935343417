"""The maps of sparse files in tar archives: GNU's own form, and the three that GNU put into pax headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from djed.errors import UnreadableError

__all__ = ["Segment", "check_map", "gnu_map", "pax_map"]

_BLOCK = 512
_MOST = 1_000_000


class Segment(NamedTuple):
    """Bytes of the file that the archive holds."""

    offset: int
    size: int


def gnu_map(header: bytes, exactly: Callable[[int], bytes], name: str) -> tuple[int, tuple[Segment, ...]]:
    """Size and map of an entry of type ``S``; reads the blocks in which the map goes on."""
    found = _slots(header[386:482], name)
    more, size = header[482], _field(header[483:495], name)
    while more:
        block = exactly(_BLOCK)
        found += _slots(block[:504], name)
        more = block[504]
        if len(found) > _MOST:
            raise _broken(name)
    return size, tuple(found)


def pax_map(
    pax: Mapping[bytes, bytes],
    lists: Sequence[tuple[bytes, bytes]],
    exactly: Callable[[int], bytes],
    name: str,
) -> tuple[int, tuple[Segment, ...], int]:
    """Size and map of an entry that pax headers call sparse, and how many bytes of its content were the map."""
    size = _decimal(pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size"), name)
    if pax.get(b"GNU.sparse.major") == b"1":
        numbers, used = _leading(exactly, name)
    elif b"GNU.sparse.map" in pax:
        numbers, used = [_decimal(text, name) for text in pax[b"GNU.sparse.map"].split(b",") if text], 0
    else:
        # Offset and length take turns, each a record of its own.
        numbers, used = [_decimal(value, name) for _, value in lists], 0
        if any(
            key != (b"GNU.sparse.offset", b"GNU.sparse.numbytes")[at % 2] for at, (key, _) in enumerate(lists)
        ):
            raise _broken(name)
    if len(numbers) % 2:
        raise _broken(name)
    return size, tuple(Segment(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)), used


def check_map(segments: Sequence[Segment], size: int, stored: int, name: str) -> None:
    """Raise ``UnreadableError`` where the parts overlap, lie beyond the end, or are not what is stored."""
    end = 0
    for segment in segments:
        if segment.offset < end or segment.size < 0:
            raise _broken(name)
        end = segment.offset + segment.size
    if end > size or sum(segment.size for segment in segments) != stored:
        raise _broken(name)


def _slots(data: bytes, name: str) -> list[Segment]:
    found = []
    for at in range(0, len(data) - 23, 24):
        if not data[at]:
            break
        found.append(Segment(_field(data[at : at + 12], name), _field(data[at + 12 : at + 24], name)))
    return found


def _leading(exactly: Callable[[int], bytes], name: str) -> tuple[list[int], int]:
    """The map at the front of the content: a count, then offsets and lengths, each on a line, filled up to a whole block."""
    data, used, at = b"", 0, 0
    numbers: list[int] = []
    wanted = 1
    while len(numbers) < wanted:
        end = data.find(b"\n", at)
        if end < 0:
            data, at = data[at:] + exactly(_BLOCK), 0
            used += _BLOCK
            if len(data) > 2 * _BLOCK:
                raise _broken(name)
            continue
        numbers.append(_decimal(data[at:end], name))
        at = end + 1
        if len(numbers) == 1:
            wanted = 1 + 2 * numbers[0]
            if wanted > _MOST:
                raise _broken(name)
    return numbers[1:], used


def _field(field: bytes, name: str) -> int:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0", 1)[0].strip(b" ")
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise _broken(name) from None


def _decimal(text: bytes | None, name: str) -> int:
    if text is None or not text.isdigit() or len(text) > 20:
        raise _broken(name)
    return int(text)


def _broken(name: str) -> UnreadableError:
    return UnreadableError(f"{name} is broken: the map of a sparse file cannot be read.")
