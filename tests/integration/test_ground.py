"""The suite defends itself: tried on a small suite with the same conftest."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import os
import pytest

def test_leaves_the_environment_changed():
    os.environ["LEFT"] = "behind"

def test_finds_it_put_back(monkeypatch):
    assert "LEFT" not in os.environ
    monkeypatch.setenv("MINE", "1")

@pytest.mark.needs("python9.9")
def test_needs_an_interpreter():
    pass

@pytest.mark.needs("gone")
def test_needs_what_is_gone():
    pass
"""

GONE = '\nPARTS["gone"] = lambda: "it went"\n'


def _outcome(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str) -> pytest.RunResult:
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest((Path(__file__).parent.parent / "conftest.py").read_text(encoding="utf-8") + GONE)
    pytester.makepyfile(SUITE)
    root = Path(__file__).parents[2]
    pytester.makeini(f"[pytest]\npythonpath = {root / 'src'} {root}\nmarkers = needs(part): a real part\n")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs")


def test_missing_part_skips_with_its_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = _outcome(pytester, monkeypatch, "")
    outcome.assert_outcomes(passed=2, errors=1, skipped=2)
    outcome.stdout.fnmatch_lines_random(["*left changed in the environment: LEFT*", "*needs gone: it went*"])


def test_missing_part_fails_under_ci_except_an_old_python(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = _outcome(pytester, monkeypatch, "true")
    outcome.assert_outcomes(passed=2, errors=2, skipped=1)
    outcome.stdout.fnmatch_lines(["*needs gone: it went (under CI a missing part is a failure)*"])


@pytest.mark.needs("uv", "bwrap", "cgroup", "index", "gcc", "root", "postgresql")
def test_every_known_part_has_a_probe_that_answers() -> None:
    """Where this runs at all, each probe has said yes; under CI it must run."""
    assert Path("/proc/self/cgroup").exists()
