"""The programs that run inside jobs, started as they are there."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.assemblies import install

from djed.build.base import script

VERSION = "{}.{}".format(*sys.version_info[:2])


def start(folder: Path, name: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(script(name))
    command = [sys.executable, "-I", "-S", name, *arguments]
    return subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with a package, a test in it that is not worth compiling, and hostile lines in its record."""
    site_packages = install(tmp_path / "venv", ("app", "1.0"), python=VERSION)
    record = [
        "app/__init__.py,,",
        "app/old.py,,",
        "app/tests/test_it.py,,",
        "../../../../outside.py,,",
        "/etc/x.py,,",
        "",
    ]
    (site_packages / "app-1.0.dist-info/RECORD").write_text("\n".join(record))
    (site_packages / "app/tests").mkdir(parents=True)
    (site_packages / "app/__init__.py").write_text("ONE = 1\n")
    (site_packages / "app/old.py").write_text("print 'Python 2'\n")
    (site_packages / "app/tests/test_it.py").write_text("")
    (site_packages / "evil.pth").write_text("import sys; sys.exit('a .pth file was run')\n")
    (tmp_path / "outside.py").write_text("")
    return site_packages


def compiled(module: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(module)))


def test_modules_are_compiled_once_a_wheel_and_linked_into_each_environment(
    tmp_path: Path, environment: Path
) -> None:
    for _ in range(2):
        done = start(tmp_path, "bytecode.py", "venv", "cache", given="app sha256:abc\n")
        assert (done.returncode, done.stderr) == (0, "")
    module = environment / "app/__init__.py"
    assert compiled(module).stat().st_nlink == 2
    kept = sorted(str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*.pyc"))
    tag = sys.implementation.cache_tag
    assert kept == [f"djed-bytecode/{tag}/sha256-abc/app/__pycache__/__init__.{tag}.pyc"]
    assert not (tmp_path / "__pycache__").exists()


def test_a_package_that_is_not_named_is_left_alone(tmp_path: Path, environment: Path) -> None:
    assert start(tmp_path, "bytecode.py", "venv", "cache", given="other sha256:abc\n").returncode == 0
    assert not compiled(environment / "app/__init__.py").exists()


@pytest.mark.parametrize(
    ("expected", "limit", "word"),
    [("", "100", ""), ("0" * 64, "100", "Hash mismatch"), ("", "3", "larger than 3 bytes")],
)
def test_a_file_is_fetched_only_with_its_hash_and_within_its_limit(
    tmp_path: Path, expected: str, limit: str, word: str
) -> None:
    (tmp_path / "source").write_bytes(b"content")
    url = (tmp_path / "source").as_uri()
    wanted = expected or hashlib.sha256(b"content").hexdigest()
    done = start(tmp_path, "fetch.py", url, "target", "sha256", wanted, limit)
    assert (done.returncode == 0) is (word == "")
    assert word in done.stderr


def test_what_cannot_be_fetched_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = start(tmp_path, "fetch.py", (tmp_path / "gone").as_uri(), "target", "sha256", "0", "9")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Failed to fetch: `file://")
