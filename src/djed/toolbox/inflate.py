"""Compressed streams, known by how they begin, under a cap: one that grows out of all proportion is refused."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Literal, Protocol

from djed.errors import UnreadableError, UnsafeError

__all__ = ["Format", "inflated"]

Format = Literal["gzip", "bzip2", "xz"]

_CHUNK = 2**16
_BUFFER = 2**18
_SLACK = 64 * 2**20
"""What any stream may grow to, however short it is: a page of zeros is no attack."""
_MEMORY = 256 * 2**20
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
)


class _Machine(Protocol):
    """What bz2 and lzma offer; gzip is brought into the same shape."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def inflated(
    stream: BinaryIO, *, name: str, ratio: float, formats: tuple[Format, ...] = ("gzip",)
) -> io.BufferedReader:
    """The stream without its compression, if it has one.

    Raises ``UnreadableError`` for a compression that is not among ``formats``; while reading, also for what is truncated, broken or
    followed by something else, and ``UnsafeError`` for what grows to more than ``ratio`` times what was read.
    """
    head = _exactly(stream, 6)
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if kind is None:
        return io.BufferedReader(_Plain(stream, head), _BUFFER)
    makers: dict[str, Callable[[], _Machine]] = {"gzip": _Gzip, "bzip2": _bzip2, "xz": _xz}
    if kind not in formats:
        raise UnreadableError(
            f"{name} is compressed with {kind}, which is not read here.",
            hint="Convert it, for example with: skopeo copy --dest-compress-format gzip; or for a tar: gzip",
        )
    return io.BufferedReader(_Inflated(stream, head, makers[kind], name=name, ratio=ratio), _BUFFER)


class _Plain(io.RawIOBase):
    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        self._stream, self._head = stream, head

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]  # io hands over a memoryview
        data = self._head or self._stream.read(len(target))
        self._head = b""
        target[: len(data)] = data
        return len(data)


class _Inflated(io.RawIOBase):
    """Members one after another are one stream, as gzip has it."""

    def __init__(
        self, stream: BinaryIO, head: bytes, make: Callable[[], _Machine], *, name: str, ratio: float
    ) -> None:
        self._stream, self._input, self._make = stream, head, make
        self._name, self._ratio = name, ratio
        self._machine: _Machine | None = make()
        self._taken, self._given = len(head), 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]  # io hands over a memoryview
        while (machine := self._machine) is not None:
            data = self._step(machine, len(target))
            if machine.eof:
                self._machine = self._next(machine)
            if data:
                self._given += len(data)
                if self._given > _SLACK and self._given > self._ratio * self._taken:
                    raise UnsafeError(
                        f"{self._name} grows to more than {self._ratio:g} times its size when it is unpacked."
                    )
                target[: len(data)] = data
                return len(data)
        return 0

    def _step(self, machine: _Machine, most: int) -> bytes:
        given = b""
        if machine.needs_input:
            given = self._input or self._more()
            self._input = b""
        try:
            data = machine.decompress(given, most)
        except (zlib.error, OSError, ValueError, EOFError, MemoryError) as error:
            raise UnreadableError(f"{self._name} cannot be decompressed: it is broken.") from error
        except Exception as error:
            # lzma.LZMAError is no subclass of any of these, and lzma may be missing altogether.
            if type(error).__name__ != "LZMAError":
                raise
            raise UnreadableError(f"{self._name} cannot be decompressed: it is broken.") from error
        if not (data or given or machine.eof) and machine.needs_input:
            raise UnreadableError(f"{self._name} is truncated.")
        return data

    def _more(self) -> bytes:
        data = self._stream.read(_CHUNK)
        self._taken += len(data)
        return data

    def _next(self, machine: _Machine) -> _Machine | None:
        """The machine for the next member; None at the end. Zeros after a member are padding."""
        rest = machine.unused_data
        while not rest.strip(b"\0"):
            if not (rest := self._more()):
                return None
        self._input = rest.lstrip(b"\0")
        return self._make()


class _Gzip:
    """zlib's object, which also checks length and checksum of each member."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)  # 31: with a gzip header (zlib's manual, inflateInit2)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _bzip2() -> _Machine:
    try:
        import bz2
    except ImportError as missing:
        raise UnreadableError("This Python cannot read bzip2.", hint="Compress it with gzip.") from missing
    return bz2.BZ2Decompressor()


def _xz() -> _Machine:
    try:
        import lzma
    except ImportError as missing:
        raise UnreadableError("This Python cannot read xz.", hint="Compress it with gzip.") from missing
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data
