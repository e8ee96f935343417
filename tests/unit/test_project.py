"""The project around the code: gates that gate, locks that lock."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

from djed import __version__

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def gates(tool: Callable[[str], ModuleType]) -> ModuleType:
    return tool("gates")


def test_long_module_is_named(gates: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text("x = 1\n" * 401)
    assert [*gates.sizes([file])] == [f"{file}: 401 lines; a module has at most 400"]


def test_long_function_is_named_with_its_line(gates: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text("x = 1\ndef f():\n" + "    x = 1\n" * 50 + "def g():\n" + "    x = 1\n" * 49)
    assert [*gates.sizes([file])] == [f"{file}:2: f has 51 lines; a function has at most 50"]


@pytest.mark.parametrize(
    "line",
    [
        "https://" + "pypi" + ".org/simple",
        "see files." + "pythonhosted" + ".org",
        "cd /" + "work/main",
        "in /" + "root/.cache",
    ],
)
def test_host_or_machine_path_is_a_leak(gates: ModuleType, tmp_path: Path, line: str) -> None:
    file = tmp_path / "note.md"
    file.write_text(f"fine\n{line}\n")
    (leak,) = gates.leaks([file])
    assert leak.startswith(f"{file}:2: names ")


@pytest.mark.parametrize(
    "line", ["https://index.example/simple", "the work/mainly", "~/root/x", "root / name"]
)
def test_other_text_is_no_leak(gates: ModuleType, tmp_path: Path, line: str) -> None:
    file = tmp_path / "note.md"
    file.write_text(line)
    assert not [*gates.leaks([file])]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("BSD-3-Clause", True),
        ("Apache-2.0 OR GPL-2.0-or-later", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR Apache-2.0)", True),
        ("License :: OSI Approved :: BSD License", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", False),
        ("GNU Affero General Public License", False),
        ("none given", False),
    ],
)
def test_licence_is_allowed_when_one_choice_is(gates: ModuleType, expression: str, allowed: bool) -> None:
    assert gates._allowed(expression) is allowed


def _packages(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_has_a_hash_for_each_package_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "--index" not in text


def test_lock_satisfies_every_dependency_of_the_project() -> None:
    """A dependency that was added without `make lock` is found here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *groups["test"], *groups["check"], groups["dev"][0]]
    locked = _packages(ROOT / "requirements/dev.txt")
    for line in map(Requirement, wanted):
        assert line.specifier.contains(locked[line.name.lower()]), line


def test_bench_lock_agrees_with_the_dev_lock() -> None:
    dev, bench = _packages(ROOT / "requirements/dev.txt"), _packages(ROOT / "requirements/bench.txt")
    assert {name: bench[name] for name in dev} == dev


def test_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert __version__ == project["project"]["version"]


def test_this_python_is_a_supported_one() -> None:
    assert sys.version_info >= (3, 11)
