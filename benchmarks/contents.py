"""What is in a Debian root and in a virtual environment, beside syft; and the second time, by the image's digest.

Ours is a process of its own too, from its start to the last edge; it also takes the digests of all Python source files.
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bar import (
    ROOT,
    NotMeasuredError,
    Row,
    alternate,
    beside,
    environment,
    place,
    remove,
    timed,
    tool,
    uv,
)
from djed.config import Config
from djed.model.quantity import format_duration
from djed.service.extract import extract
from djed.toolbox.oci import Layout, import_image, unpack
from tests.support.images import debian_root, layout_of

BAR = 1.0
BAR_AGAIN = 0.02
ROUNDS = 5
PACKAGES = ("ca-certificates", "curl", "python3-minimal")

PROGRAM = """
import sys
from pathlib import Path
from djed.observe.contents import edges, read_contents

for folder, kind in zip(sys.argv[1::2], sys.argv[2::2]):
    found = read_contents(Path(folder), folder, kind)
    print(len(found.native), len(found.python), len(found.python_files), len(list(edges(found))))
"""


def measure() -> Iterator[Row]:
    """Two rows."""
    if shutil.which("mmdebstrap") is None:
        raise NotMeasuredError(
            "there is no mmdebstrap to make a root with (Debian: apt-get install mmdebstrap)"
        )
    with place() as folder:
        root, venv = folder / "root", folder / "venv"
        layout = layout_of(debian_root(PACKAGES))
        unpack(layout, Layout(layout).choose(platform.machine()), root)
        _make(venv)
        yield _first(root, venv)
        yield _again(folder, root, venv)


def _make(venv: Path) -> None:
    """An environment with all that the tests are run with."""
    env = environment()
    timed(uv(), "venv", "-q", "-p", sys.executable, venv, env=env)
    python = venv / "bin/python"
    timed(
        uv(),
        "pip",
        "install",
        "-q",
        "-p",
        python,
        "--require-hashes",
        "-r",
        ROOT / "requirements/dev.txt",
        env=env,
    )


def _first(root: Path, venv: Path) -> Row:
    env = environment(PYTHONPATH=str(ROOT / "src"), SYFT_CHECK_FOR_APP_UPDATE="false")
    command: list[str | Path] = [sys.executable, "-c", PROGRAM, root, "root", venv, "venv"]
    output = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    in_root, in_venv = (tuple(map(int, line.split())) for line in output.splitlines())
    medians = alternate(
        ROUNDS,
        {
            "Djed": lambda: timed(*command, env=env),
            "syft, root": lambda: _syft(root, env),
            "syft, environment": lambda: _syft(venv, env),
        },
    )
    own = medians.pop("Djed")
    debs, dists = _found(root, "pkg:deb/"), _found(venv, "pkg:pypi/")
    return Row(
        what="contents of a Debian root and of a virtual environment, with all edges and a digest of each Python source file",
        bar=f"≤ {format_duration(BAR)}",
        measured=(
            f"{format_duration(own)}: {in_root[0]} native packages with {in_root[3]} edges, {in_venv[1]} distributions "
            f"with {in_venv[3]}, {in_root[2] + in_venv[2]:,} digests"
        ),
        beside=(
            f"{beside(own, medians)}; it finds {debs[0]} native packages with {debs[1]} edges "
            f"and {dists[0]} distributions with {dists[1]}"
        ),
        holds=own <= BAR,
    )


def _syft(folder: Path, env: dict[str, str]) -> float:
    report = folder.with_suffix(".cdx.json")
    return timed(tool("syft"), "scan", "-q", f"dir:{folder}", "-o", f"cyclonedx-json={report}", env=env)


def _found(folder: Path, kind: str) -> tuple[int, int]:
    """Packages of a kind in syft's report, and edges between them."""
    report = json.loads(folder.with_suffix(".cdx.json").read_text())
    packages = {part["bom-ref"] for part in report["components"] if part.get("purl", "").startswith(kind)}
    edges = sum(
        len(packages.intersection(part.get("dependsOn", ())))
        for part in report.get("dependencies", ())
        if part["ref"] in packages
    )
    return len(packages), edges


def _again(folder: Path, root: Path, venv: Path) -> Row:
    """The root with the environment in it, as an image."""
    shutil.copytree(venv, root / "opt/venv", symlinks=True)
    import_image(root, "rootfs", folder / "layout", arch=platform.machine())

    config = Config(data=folder / "data")

    def look() -> float:
        start = time.perf_counter()
        extract(f"oci:{folder / 'layout'}", config)
        return time.perf_counter() - start

    first = look()
    again = statistics.median(look() for _ in range(20))
    remove(root)
    return Row(
        what="contents of both as an image, the second time by its digest",
        bar=f"≤ {format_duration(BAR_AGAIN)}",
        measured=format_duration(again),
        beside=f"the first time, with all its layers unpacked and checked: {format_duration(first)}",
        holds=again <= BAR_AGAIN,
    )
