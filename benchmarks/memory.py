"""The memory of an engine that works with a thousand inspections in its queue."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.bar import Row, environment, place
from djed.model.quantity import format_size

BAR = 150 * 10**6
INSPECTIONS = 1000
SECONDS = 5

# In a process of its own: what this one has loaded is not the engine's. The peak is the kernel's own (proc(5), VmHWM).
PROGRAM = """
import re, sys, time
from pathlib import Path
from djed.config import load
from djed.intake import Submission
from djed.model.request import Request, Run
from djed.service import Engine

with Engine.open(load({"data": sys.argv[1]})) as engine:
    requests = [Request(name=f"queued-{number}", run=Run(command=("true",))) for number in range(int(sys.argv[2]))]
    engine.submit([Submission(request=request) for request in requests])
    with engine.working():
        time.sleep(float(sys.argv[3]))
        print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def measure() -> Iterator[Row]:
    """One row."""
    with place() as folder:
        command = [sys.executable, "-c", PROGRAM, str(folder), str(INSPECTIONS), str(SECONDS)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    peak = int(done.stdout) * 1024
    yield Row(
        what=f"peak memory of the engine with {INSPECTIONS:,} queued inspections",
        bar="≤ 150 MB",
        measured=format_size(peak),
        beside=f"worked for {SECONDS} s meanwhile",
        holds=peak <= BAR,
    )
