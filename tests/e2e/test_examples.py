"""Each example does what it is there to show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"

pytestmark = [pytest.mark.needs("uv"), pytest.mark.timeout(300)]


def djed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "djed", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def inspect(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = djed("inspect", "--json", *arguments, str(EXAMPLES / name / "inspection.yaml"))
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def statistics(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["metric"]: item for item in answer["statistics"]}


@pytest.mark.needs("index")
def test_matmul_is_measured_five_times(data: Path) -> None:
    code, answer = inspect("matmul")
    assert (code, answer["state"], answer["outcome"]) == (0, "done", "succeeded")
    rate = statistics(answer)["rate"]
    assert len(rate["values"]) == 5
    assert 0 < rate["low"] <= rate["median"] <= rate["high"]
    assert [item["name"] for item in answer["lock"]["packages"]] == ["numpy"]


@pytest.mark.needs("index")
def test_broken_resolves_and_installs_and_the_verdict_names_the_package(data: Path) -> None:
    code, answer = inspect("broken")
    assert code != 0
    failure = answer["failure"]
    assert (failure["stage"], failure["kind"]) == ("run", "import_error")
    assert "hishel" in failure["message"]
    assert "CachePolicy" in "\n".join(failure["evidence"])


def test_shell_needs_no_python_in_its_script(data: Path) -> None:
    code, answer = inspect("shell")
    assert (code, answer["outcome"]) == (0, "succeeded")
    assert statistics(answer)["primes"]["median"] == 430


def test_every_example_is_tested() -> None:
    assert {folder.name for folder in EXAMPLES.iterdir()} == {"matmul", "broken", "shell"}
