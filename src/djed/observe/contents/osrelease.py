"""What the system says that it is (os-release(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping

from djed.toolbox.rootview import RootView

__all__ = ["read_os_release"]

_PATHS = ("/etc/os-release", "/usr/lib/os-release")
_MOST = 2**16
_LINE = re.compile(r"""^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']*))[ \t]*$""", re.MULTILINE)


def read_os_release(files: RootView) -> Mapping[str, str]:
    """Its fields; none where there is no such file."""
    for path in _PATHS:
        try:
            text = files.read(path, _MOST).decode(errors="replace")
        except OSError:
            continue
        return {
            name: re.sub(r"\\(.)", r"\1", quoted) or single or plain
            for name, quoted, single, plain in _LINE.findall(text)
        }
    return {}
