"""What apt, dnf, yum, microdnf and apk say of packages. Each reader takes a line and says whether the line was its own."""

from __future__ import annotations

import re

from djed.model.contents import NativePackage
from djed.observe.buildlog.found import MOST, Found

__all__ = ["Apk", "Deb", "Rpm"]

_DEB = re.compile(
    r"(Setting up|Unpacking|Removing) ([a-z0-9][a-z0-9+.-]{0,255})(?::([a-z0-9-]{1,32}))? \(([^\s()]{1,256})\)"
)
_DEB_FILE = re.compile(
    r"Preparing to unpack (?:\S{0,4096}/)?([^\s/_]{1,256})_[^\s/_]{1,256}_([^\s/_]{1,32})\.deb "
)
_DEB_FAILED = re.compile(
    r"dpkg: error processing package ([a-z0-9][a-z0-9+.-]{0,255})(?::([a-z0-9-]{1,32}))? \(--configure\)"
)

# Named, so that a name that was cut at the edge of a terminal is not taken for a shorter one.
_RPM_ARCH = r"(noarch|x86_64(?:_v\d)?|i[3-6]86|aarch64|armv\w{1,8}|ppc64(?:le)?|s390x?|riscv64|loongarch64|mips\w{0,8})"
_NEVRA = re.compile(
    rf"([\w.+-]{{1,256}})-(?:(\d{{1,9}}):)?([\w.+~^]{{1,128}}-[\w.+~^]{{1,128}})\.{_RPM_ARCH}", re.ASCII
)
_NAME_ARCH = re.compile(rf"([\w.+-]{{1,256}})\.{_RPM_ARCH}", re.ASCII)
_EVR = re.compile(r"(?:(\d{1,9}):)?([\w.+~^]{1,128}-[\w.+~^]{1,128})", re.ASCII)
_RPM_TABLE = re.compile(
    r"(?:Dependency )?(Installed|Updated|Upgraded|Downgraded|Reinstalled|Removed|Erased|Replaced):\s*$"
)
# dnf 5, a line for each step of the transaction.
_RPM_STEP = re.compile(
    r"\[ *\d{1,6}/ *\d{1,6}\] (Installing|Upgrading|Downgrading|Reinstalling|Removing) (\S{1,512})"
)
_RPM_FIELDS = re.compile(
    r"(?:Updating/)?(Installing|Updating|Upgrading|Downgrading|Reinstalling|Removing|Erasing): "
    r"([\w.+-]{1,256});(?:(\d{1,9}):)?([\w.+~^]{1,128}-[\w.+~^]{1,128});(\w{1,32});",
    re.ASCII,
)
_GONE = frozenset({"Removed", "Erased", "Replaced", "Removing", "Erasing", "Purging"})

_APK = re.compile(
    r"\( *\d{1,6}/\d{1,6}\) (Installing|Upgrading|Downgrading|Reinstalling|Replacing|Purging) ([\w.+-]{1,256}) "
    r"\((?:[\w.+~-]{1,128} -> )?([\w.+~-]{1,128})\)",
    re.ASCII,
)
_APK_INDEX = re.compile(r"fetch \S{1,4096}/(\w{1,32})/APKINDEX\.tar\.gz", re.ASCII)


class Deb:
    """dpkg, whoever calls it: apt, apt-get, aptitude, mmdebstrap."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._last: tuple[str, str] = ("", "")
        """Beginning of the name and architecture of the file that is unpacked."""
        self._arch: dict[str, str] = {}

    def read(self, line: str) -> bool:
        """A line."""
        if line.startswith("Preparing to unpack "):
            match = _DEB_FILE.match(line)
            self._last = (match[1], match[2]) if match else ("", "")
            return True
        if line.startswith(("Setting up ", "Unpacking ", "Removing ")):
            match = _DEB.match(line)
            if match:
                self._tell(*match.groups())
            return match is not None
        if line.startswith("dpkg: error ") and (match := _DEB_FAILED.match(line)):
            self._found.no_native("deb", match[1], beside=match[2])
            return True
        return False

    def _tell(self, word: str, name: str, arch: str | None, version: str) -> None:
        if word == "Setting up":
            # The file of a package that no other architecture may stand beside is all that tells its own.
            known = arch or self._arch.pop(name, None)
            package = NativePackage(kind="deb", name=name, version=version, arch=known)
            self._found.native(package, beside=arch)
            return
        self._found.no_native("deb", name, beside=arch)
        if word == "Unpacking" and _bare(self._last[0]) == _bare(name):
            if len(self._arch) >= MOST:
                self._arch.clear()
            self._arch[name] = self._last[1]


def _bare(name: str) -> str:
    """Without the number that apt puts before the files of a longer list: ``01-less_590_amd64.deb``."""
    return name.lstrip("0123456789").lstrip("-")


class Rpm:
    """dnf 4 and yum (the tables at the end of a transaction), dnf 5 and microdnf (a line for each package)."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._table: str | None = None

    def read(self, line: str) -> bool:
        """A line."""
        if self._table is not None:
            if line.startswith(" ") and line.strip():
                self._row(self._table, line.split())
                return True
            self._table = None
        if line.endswith(":") and (match := _RPM_TABLE.match(line)):
            self._table = match[1]
            return True
        if line.startswith("[") and (match := _RPM_STEP.match(line)):
            return self._nevra(match[1], match[2])
        if match := _RPM_FIELDS.match(line):
            self._tell(match[1], match[2], (match[3], match[4]), match[5])
            return True
        return False

    def _row(self, word: str, cells: list[str]) -> None:
        """Full names side by side, or pairs of a name and a version (yum)."""
        if len(cells) % 2 == 0 and all(map(_EVR.fullmatch, cells[1::2])):
            for name, version in zip(cells[::2], cells[1::2], strict=True):
                if (match := _NAME_ARCH.fullmatch(name)) and (told := _EVR.fullmatch(version)):
                    self._tell(word, match[1], (told[1], told[2]), match[2])
            return
        for cell in cells:
            self._nevra(word, cell)

    def _nevra(self, word: str, text: str) -> bool:
        match = _NEVRA.fullmatch(text)
        if match:
            self._tell(word, match[1], (match[2], match[3]), match[4])
        return match is not None

    def _tell(self, word: str, name: str, evr: tuple[str | None, str], arch: str) -> None:
        epoch, version = evr
        if word in _GONE:
            self._found.no_native("rpm", name, beside=arch)
            return
        full = f"{epoch}:{version}" if epoch and int(epoch) else version
        self._found.native(NativePackage(kind="rpm", name=name, version=full, arch=arch), beside=arch)


class Apk:
    """Alpine's package manager."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._arch: str | None = None

    def read(self, line: str) -> bool:
        """A line."""
        if line.startswith("fetch ") and (match := _APK_INDEX.match(line)):
            self._arch = match[1]
            return True
        match = _APK.match(line) if line.startswith("(") else None
        if match is None:
            return False
        word, name, version = match.groups()
        if word in _GONE:
            self._found.no_native("apk", name)
        else:
            self._found.native(NativePackage(kind="apk", name=name, version=version, arch=self._arch))
        return True
