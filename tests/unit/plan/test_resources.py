"""Limits of a job from what the request says and what is set."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from djed.config import Config
from djed.model.hardware import Node
from djed.model.job import JobKind, Limits
from djed.model.request import Resources
from djed.plan.resources import limits


@pytest.mark.parametrize(
    ("cpu", "kind", "expected"),
    [
        (None, "run", None),
        (None, "build", 1.0),
        (None, "lock", 1.0),
        (None, "wheel", 1.0),
        (2, "run", 2.0),
        ("500m", "run", 0.5),
        ("1+", "run", 8.0),
        ("2..4", "build", 4.0),
        ("2..40", "build", 8.0),
    ],
)
def test_cpus(
    make_node: Callable[..., Node], cpu: str | int | None, kind: JobKind, expected: float | None
) -> None:
    found = limits(Resources(cpu=cpu), timeout=1, config=Config(), kind=kind, node=make_node(cores=8))
    assert found.cpu == expected


def test_what_the_request_says_wins(make_node: Callable[..., Node]) -> None:
    asked = Resources(memory="1Gi", disk="2M", processes=5, gpu=1)
    found = limits(asked, timeout="1.5h", config=Config(), kind="run", node=make_node())
    assert found == Limits(
        cpu=None,
        memory=2**30,
        processes=5,
        timeout=5400.0,
        output=Config().limits_output,
        disk=2_000_000,
        gpu=1,
    )


def test_settings_are_the_default(make_node: Callable[..., Node]) -> None:
    config = Config(limits_disk=7, limits_output=8, limits_processes=9)
    found = limits(Resources(), timeout=30.0, config=config, kind="build", node=make_node())
    assert (found.memory, found.disk, found.output, found.processes, found.timeout) == (None, 7, 8, 9, 30.0)
