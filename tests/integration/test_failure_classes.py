"""Real tools that really fail, and the class that they get. Nothing here needs an index: packages lie in a folder."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from djed.model.observation import Failure, Stage
from djed.model.result import Result
from djed.observe.outcome import classify

pytestmark = pytest.mark.needs("uv")

# The uv that lies beside this Python, else the one on the PATH.
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"

BACKEND = """
import subprocess
def build_wheel(directory, settings=None, metadata=None):
    {action}
"""


def _fail(stage: Stage, *command: str, cwd: Path, env: Mapping[str, str] | None = None) -> Failure:
    """Run the command, which must fail, and classify what it left."""
    variables = {
        **os.environ,
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(cwd / "cache"),
        "LC_ALL": "C.UTF-8",
        **(env or {}),
    }
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, timeout=60, check=False)
    ended = Result(signal=-done.returncode) if done.returncode < 0 else Result(exit_code=done.returncode)
    failure = classify(
        stage=stage,
        result=ended,
        stdout=done.stdout,
        stderr=done.stderr,
        context={"packages": {"frob": "frobnicate"}},
    )
    assert failure is not None, done.stdout
    return failure


def _wheel(folder: Path, name: str, version: str, *, tag: str = "py3-none-any", metadata: str = "") -> Path:
    """The smallest wheel that uv installs."""
    path, info = folder / f"{name}-{version}-{tag}.whl", f"{name}-{version}.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    lines = []
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{member},sha256={digest},{len(text)}\n")
        archive.writestr(f"{info}/RECORD", "".join([*lines, f"{info}/RECORD,,\n"]))
    return path


def _sdist(folder: Path, name: str, action: str) -> Path:
    """A source distribution whose own build backend does ``action``; it needs nothing else."""
    path = folder / f"{name}-1.0.tar.gz"
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project = f'{system}[project]\nname = "{name}"\nversion = "1.0"\n'
    members = {
        "pyproject.toml": project,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "backend.py": BACKEND.format(action=action),
        "x.c": "#include <nothere.h>\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for member, text in members.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{member}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def links(tmp_path: Path) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    _wheel(folder, "core", "1.0")
    _wheel(folder, "core", "2.0")
    _wheel(folder, "top", "1.0", metadata="Requires-Dist: core>=2\n")
    _wheel(folder, "modern", "1.0", metadata="Requires-Python: >=3.99\n")
    _wheel(folder, "foreign", "1.0", tag="cp311-cp311-win_amd64")
    return folder


@pytest.mark.parametrize(
    ("requirements", "kind", "words"),
    [
        (["absent"], "no_such_package", "There is no package absent"),
        (["core>=9"], "no_such_version", "There is no version core>=9; there is core<=2.0"),
        (["top==1.0", "core<2"], "conflict", "top==1.0 needs core>=2, and you ask for core<2."),
        (["core==1.0", "core==2.0"], "conflict", "you ask for core==1.0, and you ask for core==2.0."),
        (["modern"], "python_incompatible", "modern==1.0 needs Python >=3.99"),
        (["foreign"], "no_wheel", "foreign==1.0 has no wheel for this"),
    ],
)
def test_what_cannot_be_locked_is_named(
    links: Path, tmp_path: Path, requirements: list[str], kind: str, words: str
) -> None:
    (tmp_path / "requirements.in").write_text("\n".join(requirements))
    options = ("--python", sys.executable, "--no-index", "--find-links", str(links), "--no-config")
    failure = _fail("lock", UV, "pip", "compile", *options, "requirements.in", cwd=tmp_path)
    assert (failure.kind, words in failure.message) == (kind, True), failure


def test_an_index_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.in").write_text("core")
    options = ("--python", sys.executable, "--default-index", "http://127.0.0.1:1/simple", "--no-config")
    failure = _fail("lock", UV, "pip", "compile", *options, "requirements.in", cwd=tmp_path)
    assert failure.kind == "index_unreachable"
    assert "127.0.0.1:1 cannot be reached: the connection was refused" in failure.message


def test_a_file_with_another_hash_is_named(links: Path, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"core==1.0 --hash=sha256:{0:064}\n")
    options = (
        "--target",
        "t",
        "--python",
        sys.executable,
        "--no-index",
        "--find-links",
        str(links),
        "--no-config",
        "--require-hashes",
    )
    failure = _fail("build", UV, "pip", "install", *options, "-r", "requirements.txt", cwd=tmp_path)
    assert failure.kind == "hash_mismatch"
    assert failure.subject["package"] == "core==1.0"


@pytest.mark.parametrize(
    ("action", "kind", "words"),
    [
        ("raise RuntimeError('only on Tuesdays')", "build_backend_failed", "RuntimeError: only on Tuesdays."),
        ("import nothere", "build_backend_failed", "needs nothere to build and does not say so"),
        ("subprocess.check_call(['gfortran-99', 'x.f'])", "compiler_missing", "needs gfortran-99 to build"),
        ("raise OSError(28, 'No space left on device')", "disk_full", "found no space left"),
    ],
)
def test_what_cannot_be_built_is_named(tmp_path: Path, action: str, kind: str, words: str) -> None:
    source = _sdist(tmp_path, "odd", action)
    command = (
        "uv",
        "build",
        "--wheel",
        "--no-config",
        "--python",
        sys.executable,
        "--out-dir",
        "out",
        str(source),
    )
    failure = _fail("build", *command, cwd=tmp_path)
    assert (failure.kind, words in failure.message) == (kind, True), failure


@pytest.mark.needs("gcc")
def test_a_header_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = _sdist(tmp_path, "odd", "subprocess.check_call(['gcc', '-c', 'x.c'])")
    command = (
        "uv",
        "build",
        "--wheel",
        "--no-config",
        "--python",
        sys.executable,
        "--out-dir",
        "out",
        str(source),
    )
    failure = _fail("build", *command, cwd=tmp_path)
    assert failure.kind == "header_missing", failure
    assert failure.subject["header"] == "nothere.h"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import nothere", "import_error", "No module named 'nothere', which the script imports."),
        ("import frob", "import_error", "No module named 'widgets_core', which frobnicate needs."),
        (
            "import ctypes; ctypes.CDLL('libnothere.so.3')",
            "missing_library",
            "needs the shared library libnothere.so.3",
        ),
        ("x = bytearray(10**15)", "out_of_memory", "MemoryError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "illegal_instruction", "does not know"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed_by_signal", "SIGSEGV"),
        ("raise ValueError('bad input: 3')", "nonzero_exit", "exit code 1: ValueError: bad input: 3."),
        ("import sys; sys.exit('no data')", "nonzero_exit", "exit code 1: no data."),
    ],
)
def test_what_a_python_script_dies_of_is_named(tmp_path: Path, code: str, kind: str, words: str) -> None:
    packages = tmp_path / "lib/site-packages"
    packages.mkdir(parents=True)
    (packages / "frob.py").write_text("import widgets_core\n")
    (tmp_path / "script.py").write_text(code)
    failure = _fail("run", sys.executable, "script.py", cwd=tmp_path, env={"PYTHONPATH": str(packages)})
    assert (failure.kind, words in failure.message) == (kind, True), failure


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env nothere-9\n")
    script.chmod(0o755)
    failure = _fail("run", str(script), cwd=tmp_path)
    assert (failure.kind, failure.subject.get("interpreter")) == ("interpreter_missing", "nothere-9")
