"""``python -m benchmarks [NAME …]``: measure bars, print their rows, write them into docs/reference/benchmarks.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.bar import NotMeasuredError, Row
from djed import __version__

BARS = (
    "start",
    "listing",
    "overhead",
    "reuse",
    "versions",
    "memory",
    "throughput",
    "api",
    "follow",
    "postgres",
    "contents",
    "images",
    "kill",
    "containers",
)
PAGE = Path(__file__).resolve().parent.parent / "docs/reference/benchmarks.md"
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def main(names: list[str]) -> int:
    """Measure; the exit code says whether every bar holds. Each row is written as soon as it is measured, whatever it is."""
    if unknown := [name for name in names if name not in BARS]:
        print(f"There is no bar {unknown[0]!r}; there are: {', '.join(BARS)}.", file=sys.stderr)
        return 2
    failed = 0
    for name in names or BARS:
        try:
            for row in import_module(f"benchmarks.{name}").measure():
                line = _line(row)
                print(line, flush=True)
                PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), line), encoding="utf-8")
                failed += not row.holds
        except NotMeasuredError as reason:
            print(f"{name}: not measured: {reason}", flush=True)
            failed += 1
    return bool(failed)


def written(page: str, line: str) -> str:
    """The page with that row in its table, in the place of the row with the same first cell."""
    head, _, rest = page.partition(BEGIN)
    table, _, tail = rest.partition(END)
    lines = table.strip().splitlines()
    key = line.split(" | ", maxsplit=1)[0]
    rows = [line if old.split(" | ")[0] == key else old for old in lines]
    if line not in rows:
        rows.append(line)
    return "\n".join([head + BEGIN, "", *rows, "", END + tail])


def _line(row: Row) -> str:
    cells = (row.what, row.bar, row.measured, row.beside, "yes" if row.holds else "**no**", _where())
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _where() -> str:
    """Date, machine and versions."""
    found = re.search(
        r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
    )
    cpu = found[1] if found else platform.machine()
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    date = dt.datetime.now(tz=dt.UTC).date()
    versions = f"Python {platform.python_version()}, Djed {__version__}"
    return f"{date}, {len(os.sched_getaffinity(0))} x {cpu}, {system}, {versions}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
