"""What starts a program of this machine: its loader, and the libraries that this brings."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from djed.errors import ToolError
from djed.toolbox import process

__all__ = ["libraries", "loader_of"]

_INTERPRETER = 3  # PT_INTERP, elf(5)
_MOST_SEGMENTS = 64
_LONGEST = 4096


def loader_of(program: Path) -> str | None:
    """The loader that the ELF file names; ``None`` for a static program. Raises ``ToolError`` for what is no such file of 64 bits."""
    try:
        with program.open("rb") as file:
            head = file.read(64)
            if head[:6] != b"\x7fELF\x02\x01":
                raise ToolError(f"{program} is no program for a 64-bit machine of this kind.")
            (place,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
            for number in range(min(count, _MOST_SEGMENTS)):
                file.seek(place + number * size)
                segment = struct.unpack("<IIQQQQ", file.read(40))
                if segment[0] == _INTERPRETER:
                    file.seek(segment[2])
                    return file.read(min(segment[5], _LONGEST)).rstrip(b"\0").decode()
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise ToolError(f"{program} cannot be read as a program: {error}.") from error
    return None


def libraries(program: Path) -> list[Path]:
    """The loader of a program that we trust, and the libraries that it loads for it."""
    loader = loader_of(program)
    if loader is None:
        return []
    # What ldd does; glibc's and musl's loaders know the same option.
    told = process.run([loader, "--list", str(program)], timeout=10, env={}).stdout.decode(errors="replace")
    found = [loader, *re.findall(r"(?:=> |^\s*)(/\S+) \(0x", told, re.MULTILINE)]
    return [Path(path) for path in dict.fromkeys(found)]
