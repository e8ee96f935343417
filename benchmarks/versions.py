"""Four NumPy versions built, imported and run from a warm cache, beside nox with uv and tox-uv.

The question is whether they work, not how fast: each asks for one CPU, so that two run at a time on two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.bar import Row, alternate, beside, environment, place, python, remove, timed, tool
from djed.model.quantity import format_duration

BAR = 2.0
PYTHON = "3.11"
VERSIONS = ("1.26.4", "2.0.2", "2.1.3", "2.2.6")
SCRIPT = "import numpy\nprint(numpy.__version__, (numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum())\n"
REQUEST = """\
name: numpy-{version}
environment: {{python: "{python}", packages: ["numpy=={version}"], exclude_newer: 2026-11-01}}
run: {{script: use.py, resources: {{cpu: 1}}}}
"""
NOXFILE = """\
import nox

nox.options.default_venv_backend = "uv"


@nox.session(python={python!r})
@nox.parametrize("version", {versions!r})
def use(session, version):
    session.install(f"numpy=={{version}}")
    session.run("python", "use.py")
"""
TOX = """\
[tox]
requires = tox-uv
envlist = {envs}
[testenv]
base_python = {python}
skip_install = true
deps =
{deps}
commands = python use.py
"""


def measure() -> Iterator[Row]:
    """One row. Every side makes fresh environments; the caches are warm."""
    interpreter = python(PYTHON)
    with place() as folder:
        _write(folder, interpreter)
        env = environment(DJED_DATA=str(folder / "data"), UV_CACHE_DIR=str(folder / "cache"))
        requests = [folder / f"numpy-{version}.yaml" for version in VERSIONS]

        def djed(*, fresh: bool) -> float:
            if fresh:
                remove(folder / "data/artifacts")
            return timed(tool("djed"), "inspect", "-q", *requests, env=env)

        medians = alternate(
            5,
            {
                "Djed": lambda: djed(fresh=True),
                "nox with uv": lambda: timed(tool("nox"), "-f", folder / "noxfile.py", cwd=folder, env=env),
                "tox-uv": lambda: timed(
                    tool("tox"), "run", "-r", "-c", folder / "tox.ini", cwd=folder, env=env
                ),
                "Djed, environments kept": lambda: djed(fresh=False),
            },
        )
    own = medians.pop("Djed")
    yield Row(
        what=f"four NumPy versions ({', '.join(VERSIONS)}) built, imported and run, warm",
        bar=f"≤ {format_duration(BAR)}",
        measured=format_duration(own),
        beside=beside(own, medians),
        holds=own <= BAR,
    )


def _write(folder: Path, interpreter: str) -> None:
    (folder / "use.py").write_text(SCRIPT)
    for version in VERSIONS:
        (folder / f"numpy-{version}.yaml").write_text(REQUEST.format(version=version, python=PYTHON))
    (folder / "noxfile.py").write_text(NOXFILE.format(python=interpreter, versions=VERSIONS))
    names = {version: "np" + version.replace(".", "_") for version in VERSIONS}
    deps = "\n".join(f"    {name}: numpy=={version}" for version, name in names.items())
    (folder / "tox.ini").write_text(TOX.format(envs=",".join(names.values()), python=interpreter, deps=deps))
