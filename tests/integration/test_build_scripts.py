"""The programs that run inside jobs, started as they are there."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from djed.build.base import script
from tests.support.assemblies import install

VERSION = "{}.{}".format(*sys.version_info[:2])


def start(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(script(name))
    command = [sys.executable, "-I", "-S", name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of a package in an environment; with a test, old code, and a .pth file that must not be run."""
    app = install(tmp_path / "venv", ("app", "1.0"), python=VERSION) / "app"
    (app / "tests").mkdir(parents=True)
    (app / "__init__.py").write_text("ONE = 1\n")
    (app / "old.py").write_text("print 'Python 2'\n")
    (app / "nul.py").write_text("\0")
    (app / "tests/test_it.py").write_text("")
    (app / "link.py").symlink_to("/etc/passwd")
    (app.parent / "evil.pth").write_text("import sys; sys.exit('a .pth file was run')\n")
    return app


def compiled(module: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(module)))


def compile_modules(folder: Path) -> None:
    done = start(folder, "bytecode.py", "venv", "cache")
    assert (done.returncode, done.stderr) == (0, "")


def test_modules_are_compiled_once_and_linked_into_each_environment(tmp_path: Path, app: Path) -> None:
    compile_modules(tmp_path)
    (tmp_path / "venv").rename(tmp_path / "first")
    shutil.copytree(
        tmp_path / "first", tmp_path / "venv", symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    compile_modules(tmp_path)
    assert compiled(app / "__init__.py").stat().st_nlink == 3
    assert [path.name for path in (app / "__pycache__").iterdir()] == [compiled(app / "__init__.py").name]
    assert not (app / "tests/__pycache__").exists()


def test_the_compiled_module_is_that_of_the_source_beside_it(tmp_path: Path, app: Path) -> None:
    compile_modules(tmp_path)
    (app / "__init__.py").write_text("ONE = 2\n")
    compiled(app / "__init__.py").unlink()
    compile_modules(tmp_path)
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.append({str(app.parent)!r}); import app; print(app.ONE)",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == "2\n"


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


def test_the_same_source_gives_the_same_bytes_wherever_it_was_compiled(tmp_path: Path, app: Path) -> None:
    """And an error still names the file in which it is."""
    (app / "fails.py").write_text("def fail():\n    raise ValueError\n")
    compile_modules(tmp_path)
    first = compiled(app / "fails.py").read_bytes()
    shutil.rmtree(tmp_path / "cache")
    shutil.copytree(
        tmp_path / "venv",
        tmp_path / "other/venv",
        symlinks=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    compile_modules(tmp_path / "other")
    there = tmp_path / "other" / app.relative_to(tmp_path)
    assert compiled(there / "fails.py").read_bytes() == first
    code = f"import sys; sys.path.append({str(there.parent)!r}); import app.fails; app.fails.fail()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert f'File "{there}/fails.py", line 2, in fail' in done.stderr
