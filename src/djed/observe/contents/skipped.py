"""What could not be read, each with the reason; and how much may be read at all."""

from __future__ import annotations

import threading

from djed.toolbox.rootview import printable

__all__ = ["Budget", "Skipped"]

_MOST = 1000


class Skipped:
    """Sentences, as many as anybody reads."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._more = 0

    def add(self, path: str, reason: str) -> None:
        """Something at ``path`` is left out."""
        self.say(f"{printable(path)}: {reason}")

    def say(self, sentence: str) -> None:
        """Something is left out; the sentence names it."""
        if len(self._sentences) < _MOST:
            self._sentences.append(sentence)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """Sorted; the last sentence counts those that are too many."""
        more = (f"and {self._more} more",) if self._more else ()
        return tuple(sorted(self._sentences)) + more


class Budget:
    """Bytes that may be read in all: a sparse file of a terabyte costs its maker nothing."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether that many may still be read."""
        with self._lock:
            self._left -= size
            return self._left >= 0
