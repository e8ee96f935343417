"""Archives unpacked elsewhere and run there: another folder, another root, another Python, or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from djed.build.package_archive import ArchivePackager
from djed.model.hardware import Interpreter
from djed.model.request import Environment, File, Run
from djed.toolbox.archive import extract
from djed.toolbox.layers import apply
from tests.conftest import uv_executable
from tests.support.images import debian_root
from tests.support.packaging import Bench, packaging, venv_artifact

VERSION = "{}.{}".format(*sys.version_info[:2])
VALUES = ("a b", "'", '"', "\\", "$HOME", "$(id)", "-n", "ä€😀", "a\nb", "\n", "", "=", "*", "\x01", "PATH")
TELL = """\
import json, os, sys, app
print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), sys.prefix, app.NAME, sorted(os.listdir('.'))]))
"""

pytestmark = pytest.mark.needs("uv")


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """A real environment with a module and a script of its own."""
    folder = tmp_path / "env"
    command = [
        uv_executable(),
        "venv",
        "--quiet",
        "--relocatable",
        "--no-project",
        "--python",
        sys.executable,
        str(folder),
    ]
    subprocess.run(command, check=True, timeout=60)
    (folder / f"lib/python{VERSION}/site-packages/app.py").write_text("NAME = 'app'\n")
    return folder


@pytest.fixture
def bench(tmp_path: Path, env: Path) -> Bench:
    return Bench(tmp_path / "jobs", env=env)


def made(
    bench: Bench,
    *,
    python: str | None = None,
    run: Run | None = None,
    variables: dict[str, str] | None = None,
) -> Path:
    """The archive."""
    built = python or str(Path(sys.base_prefix, "bin", f"python{VERSION}").resolve())
    interpreter = Interpreter(path=built, version="{}.{}.{}".format(*sys.version_info[:3]), prefix="")
    environment = Environment(files=(File(path="data 'x'", content="1"),), variables=variables or {})
    assembly = packaging(environment, run=run, venv=venv_artifact(), interpreter=interpreter)
    return bench.make(ArchivePackager(), assembly).path / "environment.tar.gz"


def unpacked(archive: Path, folder: Path) -> Path:
    """As a user does it."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True, timeout=60)
    return folder / "environment"


def start(
    folder: Path, *arguments: str, path: str = os.defpath, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "start", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": path},
        cwd=cwd,
    )


def told(done: subprocess.CompletedProcess[str]) -> list[object]:
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.fixture
def script() -> Run:
    return Run(script=File(path="-tell $(me).py", content=TELL), arguments=VALUES)


def test_it_runs_in_any_folder_with_all_that_was_asked(bench: Bench, script: Run, tmp_path: Path) -> None:
    variables = {f"V{number}": value for number, value in enumerate(VALUES)}
    variables |= {
        "here": "h",
        "version": "v",
        "found": "f",
        "python": "p",
        "IFS": "x",
        "UID": "7",
        "PATH": "/usr/bin:/bin",
    }
    folder = unpacked(made(bench, run=script, variables=variables), tmp_path / "un\npacked 'here' $x\n")
    arguments, environ, place, prefix, name, names = told(start(folder))
    assert arguments == list(VALUES)
    assert isinstance(environ, dict)
    del variables["UID"], variables["PATH"]
    assert {key: environ.get(key) for key in variables} == variables
    assert environ["PATH"] == f"{folder}/env/bin:/usr/bin:/bin"
    assert (place, prefix, name) == (f"{folder}/files", f"{folder}/env", "app")
    assert names == ["-tell $(me).py", "data 'x'", "outputs"]


def test_its_arguments_are_run_instead_where_the_user_is(bench: Bench, script: Run, tmp_path: Path) -> None:
    folder = unpacked(made(bench, run=script), tmp_path / "a")
    (tmp_path / "link").symlink_to(folder / "start")
    done = subprocess.run(
        [tmp_path / "link", "python", "-c", "import app, os; print(app.NAME, os.getcwd())"],
        capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == f"app {tmp_path}\n"


def test_without_a_command_one_must_be_named(bench: Bench, tmp_path: Path) -> None:
    done = start(unpacked(made(bench), tmp_path / "a"))
    assert (done.returncode, done.stderr) == (2, "start: name a command: start COMMAND [ARGUMENT...]\n")


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """A PATH with the usual programs, and this Python under the name that is looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / f"python{VERSION}").symlink_to(os.path.realpath(sys.executable))
    return f"{folder}:{os.defpath}"


def lost(env: Path) -> None:
    """As if it had been built with a Python that is nowhere here."""
    (env / "bin/python").unlink()
    (env / "bin/python").symlink_to("/nowhere/python")
    (env / "pyvenv.cfg").write_text("home = /nowhere\ninclude-system-site-packages = false\n")


def test_another_python_of_the_same_version_takes_its_place(
    bench: Bench, script: Run, tmp_path: Path, env: Path, elsewhere: str
) -> None:
    lost(env)
    folder = unpacked(made(bench, python="/nowhere/python", run=script), tmp_path / "a b")
    _, _, _, prefix, name, _ = told(start(folder, path=elsewhere))
    assert (prefix, name) == (f"{folder}/env", "app")
    again = folder.rename(tmp_path / "moved")
    assert told(start(again))[3] == f"{again}/env", "it stays"


def test_several_starts_at_once_do_not_disturb_each_other(
    bench: Bench, script: Run, tmp_path: Path, env: Path, elsewhere: str
) -> None:
    lost(env)
    folder = unpacked(made(bench, python="/nowhere/python", run=script), tmp_path / "a")
    running = [
        subprocess.Popen(
            [folder / "start"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": elsewhere},
        )
        for _ in range(8)
    ]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out or "[]")[3:4]) == (0, [f"{folder}/env"]), err
    assert not [path for path in (folder / "env/bin").iterdir() if path.name.startswith(".")]


def test_without_a_python_it_says_which_one_is_missing(
    bench: Bench, script: Run, tmp_path: Path, env: Path
) -> None:
    lost(env)
    folder = unpacked(made(bench, python="/nowhere/python", run=script), tmp_path / "a")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("readlink", "uname", "sh"):
        found = next(path for place in os.defpath.split(":") if (path := Path(place or ".", name)).exists())
        (tools / name).symlink_to(found)
    done = start(folder, path=str(tools))
    assert done.returncode == 127
    assert (
        done.stderr
        == f"start: this environment needs Python {VERSION}, and none was found: install it, or put it on the PATH.\n"
    )


def test_on_another_machine_it_says_so(bench: Bench, script: Run, tmp_path: Path) -> None:
    folder = unpacked(made(bench, run=script), tmp_path / "a")
    start_script = folder / "start"
    start_script.write_text(start_script.read_text().replace("arch='x86_64'", "arch='vax'"))
    done = start(folder)
    assert (done.returncode, "is for vax" in done.stderr) == (126, True)


def test_what_is_in_it_is_told(bench: Bench, script: Run, tmp_path: Path) -> None:
    found = json.loads((unpacked(made(bench, run=script), tmp_path / "a") / "djed.json").read_text())
    assert found["digest"].startswith("sha256:")
    assert found["platform"] == "linux-x86_64-glibc2.36"
    assert found["command"] == ["python", "./-tell $(me).py", *VALUES]


def test_the_same_environment_gives_the_same_bytes(bench: Bench, script: Run) -> None:
    first, second = made(bench, run=script), made(bench, run=script)
    assert first.read_bytes() == second.read_bytes()


def test_our_own_extractor_takes_it(bench: Bench, tmp_path: Path, env: Path) -> None:
    """But for the link to the machine's Python, which leads out."""
    (env / "bin/python").unlink()
    (tmp_path / "into").mkdir()
    with made(bench).open("rb") as file:
        extract(file, tmp_path / "into")
    assert (tmp_path / "into/environment/start").stat().st_mode & 0o777 == 0o755


@pytest.mark.needs("bwrap", "mmdebstrap")
def test_it_runs_in_another_root(bench: Bench, script: Run, tmp_path: Path, env: Path) -> None:
    """Whose Python lies elsewhere than the one that it was built with."""
    root = tmp_path / "root"
    root.mkdir()
    with debian_root(("python3", "ca-certificates")).open("rb") as tar:
        apply(tar, root)
    if not (root / f"usr/bin/python{VERSION}").exists():
        pytest.skip(f"that root has no Python {VERSION}")
    lost(env)
    unpacked(made(bench, python="/nowhere/python", run=script), root / "srv/a b")
    command = [
        "bwrap",
        "--unshare-all",
        "--clearenv",
        "--bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    done = subprocess.run(
        [*command, "/srv/a b/environment/start"], capture_output=True, text=True, check=False, timeout=60
    )
    assert told(done)[2:5] == ["/srv/a b/environment/files", "/srv/a b/environment/env", "app"]
