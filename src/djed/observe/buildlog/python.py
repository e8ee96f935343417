"""What pip, pipenv and uv say of Python distributions. Each reader takes a line and says whether the line was its own."""

from __future__ import annotations

import re

from djed.observe.buildlog.found import MOST, Found, normal

__all__ = ["Pip", "Uv"]

_DONE = "Successfully installed "
_ORDER = "Installing collected packages: "
_GONE = "Successfully uninstalled "
_NAME = re.compile(
    r"(?:Collecting|Processing|Requirement already satisfied:) ([A-Za-z0-9][\w.-]{0,255})", re.ASCII
)
_ITEM = re.compile(r"[A-Za-z0-9][\w.-]{0,255}-[\w.!+-]{1,128}", re.ASCII)
_VERSION = re.compile(r"v?\d[\w.!+]{0,127}", re.ASCII)
_LIST = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,255},? *){1,100000}", re.ASCII)
_WRAPPED = 79
"""pipenv has the lines of pip wrapped to the terminal, or to 80 columns."""

_TOLD = re.compile(r"(?:Installed|Uninstalled) \d{1,7} packages? in ")
_CHANGE = re.compile(r" ([+~-]) ([A-Za-z0-9][\w.-]{0,255})==([\w.!+-]{1,128})(?: \(from .*\))?\s*$", re.ASCII)


class Pip:
    """pip, and pipenv where it shows what pip says (``--verbose``)."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._names: set[str] = set()
        """What is about to be installed, normalised: the names of which those with a version are told apart."""
        self._going: str | None = None
        """What the last line began to tell, while it may go on."""
        self._length = 0

    def read(self, line: str) -> bool:
        """A line."""
        text = line.strip()
        if self._going is not None and self._goes_on(text):
            return True
        if not text.startswith(("Succ", "Inst", "Coll", "Proc", "Requ")):
            return False
        for beginning in (_DONE, _ORDER):
            if text.startswith(beginning):
                return self._tell(beginning, line, text[len(beginning) :])
        if text.startswith(_GONE):
            name, _ = _split(text[len(_GONE) :].split(maxsplit=1)[0], self._names)
            self._found.no_python(name)
            return True
        if match := _NAME.match(text):
            self._remember(match[1])
        return match is not None

    def _tell(self, what: str, line: str, rest: str) -> bool:
        if what == _ORDER:
            self._names.clear()
        self._going, self._length = what, len(line.rstrip())
        return self._read(what, rest)

    def _goes_on(self, text: str) -> bool:
        """Whether this is the rest of the line before: its first word would not have fitted there any more."""
        what, self._going = self._going, None
        words = text.split(maxsplit=1)
        if what is None or not words or self._length + 1 + len(words[0]) < _WRAPPED:
            return False
        if what == _DONE and not all(_ITEM.fullmatch(word) for word in text.split()):
            return False
        if what == _ORDER and not all(re.fullmatch(r"[\w.-]+,?", word) for word in text.split()):
            return False
        self._going, self._length = what, len(text)
        return self._read(what, text)

    def _read(self, what: str, text: str) -> bool:
        for word in text.split():
            if what == _ORDER:
                self._remember(word.rstrip(","))
            elif _ITEM.fullmatch(word):
                self._found.python("pip", *_split(word, self._names))
        return True

    def _remember(self, name: str) -> None:
        if len(self._names) >= MOST:
            self._names.clear()
        self._names.add(normal(name))


def _split(item: str, names: set[str]) -> tuple[str, str]:
    """Name and version: where the name is a known one, else at the last dash that a version follows."""
    dashes = [at for at, letter in enumerate(item) if letter == "-"]
    for at in reversed(dashes):
        if normal(item[:at]) in names:
            return item[:at], item[at + 1 :]
    for at in reversed(dashes):
        if _VERSION.fullmatch(item[at + 1 :]):
            return item[:at], item[at + 1 :]
    name, _, version = item.rpartition("-")
    return name, version


class Uv:
    """uv: the list below what it says to have done. A list below ``Would install`` was a dry run."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._told = False

    def read(self, line: str) -> bool:
        """A line."""
        match = _CHANGE.match(line) if self._told else None
        if match is not None:
            sign, name, version = match.groups()
            if sign == "-":
                self._found.no_python(name)
            else:
                self._found.python("uv", name, version)
            return True
        if line.strip():
            self._told = line.startswith(("Inst", "Unin")) and _TOLD.match(line) is not None
        return self._told
