"""``djed diff``: only what differs, with intervals, and honest where nobody can tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from djed.model.lock import Lock, LockedPackage
from djed.service.difference import Compared

Djed = Callable[..., Any]


@pytest.fixture
def other(engine: Any) -> Any:
    """A second one with other versions and more runs per second."""
    item = engine.get("matmul")
    slow = tuple(1 + at / 1000 for at in range(8))
    engine.inspections[item.id] = replace(
        item, statistics=(replace(item.statistics[0], values=slow, median=1.0),)
    )
    fast = replace(item.statistics[0], values=tuple(value / 2 for value in slow), median=0.5)
    environment = replace(item.request.environment, packages=("numpy<2",))
    packages = (LockedPackage(name="numpy", version="1.26.4"), LockedPackage(name="scipy", version="1.14"))
    return engine.add(
        replace(
            item,
            id="othe",
            name="other",
            request=replace(item.request, environment=environment),
            lock=Lock(python="3.11.7", packages=packages),
            statistics=(fast,),
        ),
        engine.jobs(item.id),
    )


def test_only_what_differs_is_shown(djed: Djed, engine: Any, other: Any) -> None:
    assert djed("diff", "matmul", "other").out.splitlines()[2:-2] == [
        "",
        "request",
        "  ~ environment.packages numpy==2.1.* → numpy<2",
        "",
        "packages",
        "  ~ numpy 2.1.3 → 1.26.4",
        "  + scipy 1.14",
        "",
    ]


def test_a_result_has_its_ratio_and_interval(djed: Djed, engine: Any, other: Any) -> None:
    last = djed("diff", "matmul", "other").out.splitlines()[-1]
    assert last.startswith("  duration  1.00s → 500ms  B is 2\u00d7 faster (")
    value = json.loads(djed("diff", "matmul", "other", "--json").out)["results"][0]
    assert value["verdict"] == "faster"
    assert value["low"] <= 0.5 <= value["high"]


def twin(engine: Any, **changes: Any) -> None:
    """Another inspection like the first one, but for the changes."""
    item = engine.get("matmul")
    engine.add(replace(item, id="twin", name="twin", **changes), engine.jobs(item.id))


def test_what_is_the_same_says_so(djed: Djed, engine: Any) -> None:
    twin(engine, statistics=())
    assert djed("diff", "matmul", "twin").out.splitlines()[-1] == "Nothing differs."


def test_too_few_runs_cannot_tell(djed: Djed, engine: Any) -> None:
    twin(engine)
    assert "cannot tell: 2 and 2 repeats are too few" in djed("diff", "matmul", "twin").out


def test_the_measured_noise_floor_counts(djed: Djed, engine: Any, other: Any) -> None:
    from djed.model.summary import StoredObservation

    for node, floor in (("local/elsewhere", 9.0), ("local/here", 3.0), ("local/here", 0.01)):
        engine.facts.append(
            StoredObservation(
                seq=1, inspection="x", kind="noise_floor", subject={"node": node}, value={"floor": floor}
            )
        )
    found = djed("diff", "matmul", "other", "--json").out
    assert [(item["verdict"], item["floor"]) for item in json.loads(found)["results"]] == [("same", 3.0)]


def test_a_ratio_reads_above_one_whichever_way() -> None:
    def sentence(ratio: float, verdict: str) -> str:
        return Compared(
            metric="m",
            unit=None,
            before=1.0,
            after=ratio,
            ratio=ratio,
            low=ratio / 1.25,
            high=ratio * 1.25,
            floor=0.05,
            verdict=verdict,
            reason="",
        ).sentence

    assert sentence(0.5, "faster") == "B is 2\u00d7 faster (1.6\u20132.5)"
    assert sentence(2.0, "slower") == "B is 2\u00d7 slower (1.6\u20132.5)"
    assert sentence(2.0, "higher") == "B is 2\u00d7 higher (1.6\u20132.5)"


def test_other_hardware_is_named_and_only_the_flags_that_differ(djed: Djed, engine: Any) -> None:
    def ran(flags: list[str], brand: str) -> list[Any]:
        info = {"cpu_features": {"flags": flags}, "cpu_info": {"brand_raw": brand}}
        return [replace(item, result={"hwinfo": info}) for item in engine.jobs(engine.get("matmul").id)]

    engine.records["3f2a9c1b7d"] = ran(["avx", "sse"], "Old")
    engine.records["9e8d7c6b5a"] = ran(["avx", "avx2"], "New")
    changes = json.loads(djed("diff", "matmul", "broken", "--json").out)["hardware"]
    assert [(item["name"], item["before"], item["after"]) for item in changes] == [
        ("processor", "Old", "New"),
        ("cpu_flags", "sse", "avx2"),
    ]


def test_a_script_that_changed_is_one_line(djed: Djed, engine: Any) -> None:
    item = engine.get("matmul")
    script = replace(item.request.run.script, digest="sha256:1", size=2)
    request = replace(item.request, run=replace(item.request.run, script=script))
    engine.add(replace(item, id="changed", name="changed", request=request, statistics=()))
    changes = json.loads(djed("diff", "matmul", "changed", "--json").out)["request"]
    assert [(item["name"], item["before"], item["after"]) for item in changes] == [
        ("run.script.digest", "0", "1")
    ]


def test_an_inspection_is_not_compared_with_itself(djed: Djed, engine: Any) -> None:
    outcome = djed("diff", "matmul", "matmul")
    assert outcome.code == 2
    assert "are the same inspection" in outcome.err
