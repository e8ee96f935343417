"""What a recipe does to get its stack, done by hand: with uv where it is there, else with pip; every file checked by its hash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.build.recipe import TOOLS, recipe
from djed.config import Config
from djed.model.lock import Lock, LockedFile, LockedPackage
from djed.model.request import Environment, Index
from djed.toolbox.parts import find_uv
from tests.support.index import Distribution, LoopbackIndex, wheel

pytestmark = pytest.mark.needs("uv")

VERSION = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def leaf() -> Distribution:
    return wheel("leaf", "1.0", files={"leaf/__init__.py": "VERSION = '1.0'\n"})


@pytest.fixture
def index(leaf: Distribution) -> Iterator[LoopbackIndex]:
    with LoopbackIndex(leaf, wheel("leaf", "2.0")) as found:
        yield found


def environment(index: LoopbackIndex, **fields: object) -> Environment:
    return Environment(indexes=(Index(name="here", url=index.url),), python=VERSION, **fields)  # type: ignore[arg-type]


def lock(leaf: Distribution, digest: str | None = None) -> Lock:
    file = LockedFile(name=leaf.filename, hashes={"sha256": digest or leaf.sha256})
    return Lock(
        python=VERSION, packages=(LockedPackage(name="leaf", version="1.0", wheels=(file,), index="here"),)
    )


@pytest.fixture(params=["uv", "pip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH with this Python, and with uv or without."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
    for tool in ("mkdir", "rm"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    if request.param == "uv":
        (folder / "uv").symlink_to(find_uv(Config()))
    return str(folder)


def installed(
    asked: Environment, tmp_path: Path, path: str, locked: Lock | None = None
) -> subprocess.CompletedProcess[str]:
    """Do what the recipe does, in a folder, then ask the stack for its version."""
    text = recipe(asked, base="debian:12", content=lambda _: b"", lock=locked, python=VERSION)
    tools = tmp_path / "tools"
    steps = [
        line.removeprefix("RUN ")
        for line in text.replace("\\\n", "").replace(TOOLS, str(tools)).splitlines()
        if line.startswith("RUN ")
    ]
    steps = [step for step in steps if "chown" not in step]
    script = " && ".join(f"{{ {step}\n}}" for step in steps)
    variables = {
        "PATH": path,
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return done
    probe = [str(tools / "env/bin/python"), "-c", "import leaf; print(leaf.VERSION)"]
    return subprocess.run(probe, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)


def test_a_locked_stack_is_installed(
    index: LoopbackIndex, leaf: Distribution, tmp_path: Path, path: str
) -> None:
    done = installed(environment(index), tmp_path, path, lock(leaf))
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr


def test_a_file_with_another_hash_is_not(
    index: LoopbackIndex, leaf: Distribution, tmp_path: Path, path: str
) -> None:
    done = installed(environment(index), tmp_path, path, lock(leaf, "0" * 64))
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()


@pytest.mark.parametrize("path", ["uv"], indirect=True)
def test_packages_without_a_lock_keep_to_their_constraints(
    index: LoopbackIndex, tmp_path: Path, path: str
) -> None:
    done = installed(environment(index, packages=("leaf",), constraints=("leaf<2",)), tmp_path, path)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
