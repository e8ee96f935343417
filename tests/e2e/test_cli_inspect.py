"""The command line as a user types it, with the real engine, uv and sandbox; no package is needed."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import begin, djed, read_until

pytestmark = pytest.mark.needs("uv", "bwrap")

HELLO = """#!/bin/sh
echo "hello $1"
echo '\033[31mred'
"""
ENDLESS = """#!/bin/sh
i=0
while [ $i -lt 100 ]; do i=$((i + 1)); echo "line $i"; sleep 0.05; done
"""


def only(text: str) -> Any:
    return json.loads(text)


@pytest.fixture
def hello(tmp_path: Path) -> str:
    path = tmp_path / "hello.sh"
    path.write_text(HELLO)
    return str(path)


@pytest.fixture
def endless(tmp_path: Path) -> str:
    path = tmp_path / "endless.sh"
    path.write_text(ENDLESS)
    return str(path)


def test_from_a_script_to_its_removal(hello: str, tmp_path: Path) -> None:
    inspected = only(djed("inspect", hello, "--repeat", "2", "--json", "--", "you"))
    assert (inspected["outcome"], len(inspected["statistics"][0]["values"])) == ("succeeded", 2)
    identity = inspected["id"]
    again = only(djed("inspect", hello, "--name", "other", "--json", "--", "me"))

    assert [item["id"] for item in only(djed("list", "--json"))] == [again["id"], identity]
    assert [item["role"] for item in only(djed("show", "hello", "--json"))["jobs"]][-2:] == ["run:0", "run:1"]
    assert djed("logs", "hello", "--run", "0", "--stdout").splitlines()[0] == "hello you"
    changes = only(djed("diff", "hello", "other", "--json"))["request"]
    assert {change["name"] for change in changes} == {"run.arguments", "run.repeat"}
    rows = list(csv.DictReader(io.StringIO(djed("export", "--format", "csv", "hello"))))
    assert [row["metric"] for row in rows] == ["duration", "duration"]

    djed("rm", "hello", "other")
    assert only(djed("list", "--json")) == []


def test_a_script_that_fails_is_named_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "fails.sh"
    path.write_text("#!/bin/sh\necho about to fail >&2\nexit 7\n")
    process = begin("inspect", str(path))
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (1, "")
    assert "about to fail" in err
    assert "[nonzero_exit]" in err


def test_what_fits_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    path = tmp_path / "picky.yaml"
    path.write_text("run: {script: run.sh, hardware: {cores: 100000+}}\n")
    process = begin("inspect", str(path))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 5
    assert "run.hardware.cores" in err


def test_ctrl_c_once_cancels(endless: str) -> None:
    with begin("inspect", endless) as process:
        read_until(process, "Built environment")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert only(djed("show", "endless", "--json"))["state"] == "cancelled"


def test_ctrl_c_twice_leaves_the_job_running_to_come_back_to(endless: str) -> None:
    with begin("inspect", endless) as process:
        read_until(process, "Built environment")
        process.send_signal(signal.SIGINT)
        read_until(process, "Cancelling")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "djed logs -f" in err

    lines = djed("logs", "-f", "endless", "--stdout").splitlines()
    assert lines[:100] == [f"line {number}" for number in range(1, 101)]


def test_what_is_submitted_detached_is_done_by_whoever_follows(hello: str) -> None:
    identity = djed("inspect", "--detach", hello).strip()
    assert only(djed("show", identity, "--json"))["final"] is False
    djed("logs", "-f", identity)
    assert only(djed("show", identity, "--json"))["outcome"] == "succeeded"
