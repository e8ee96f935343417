"""What is known of the runtimes that engines start containers with."""

from __future__ import annotations

import re

__all__ = ["plain", "warning"]


def plain(version: str) -> str:
    """Without what a distribution appends: ``1.1.5+ds1`` is ``1.1.5``."""
    return re.split(r"[+~\s]", version.strip(), maxsplit=1)[0]


def warning(runtime: str | None) -> str | None:
    """What is known to be bad of a runtime, ``runc 1.1.5``, as a sentence."""
    name, _, version = (runtime or "").partition(" ")
    numbers = tuple(map(int, re.findall(r"\d+", version)[:3]))
    if name != "runc" or len(numbers) < 3 or (1, 2, 8) <= numbers < (1, 3, 0) or numbers >= (1, 3, 3):
        return None
    known = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"]
    known += ["CVE-2024-21626"] if numbers < (1, 1, 12) else []
    listed = f"{', '.join(known[:-1])} and {known[-1]}"
    return f"{runtime} lets a container break out ({listed}), unless your distribution fixed it; 1.2.8 and 1.3.3 are fixed."
