"""Several nodes and alternatives."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from djed.errors import RequestError
from djed.model.hardware import Node
from djed.model.request import Gpu, HardwareRequirement, Resources
from djed.plan.match import fits_resources, match

Wanted = HardwareRequirement


@pytest.fixture
def nodes(make_node: Callable[..., Node]) -> list[Node]:
    return [make_node("small", cores=4, gpus=()), make_node("middle", cores=16), make_node("big", cores=64)]


def names(
    requirement: HardwareRequirement, nodes: list[Node], resources: Resources | None = None
) -> list[str]:
    return [node.id for node in match(requirement, nodes, resources=resources).fits]


def test_order_of_preference_is_kept(nodes: list[Node]) -> None:
    assert names(Wanted(cores="16+"), nodes) == ["middle", "big"]
    assert names(Wanted(cores="16+"), nodes[::-1]) == ["big", "middle"]


def test_all_fields_must_hold(nodes: list[Node]) -> None:
    assert names(Wanted(cores="1..16", gpu=Gpu()), nodes) == ["middle"]


def test_any_of_is_a_union(nodes: list[Node]) -> None:
    assert names(Wanted(any_of=(Wanted(cores=4), Wanted(cores=64))), nodes) == ["small", "big"]


def test_any_of_comes_on_top_of_the_rest(nodes: list[Node]) -> None:
    assert names(Wanted(gpu=Gpu(), any_of=(Wanted(cores=4), Wanted(cores=64))), nodes) == ["big"]


def test_ordered_takes_the_first_that_some_node_meets(nodes: list[Node]) -> None:
    assert names(Wanted(ordered=(Wanted(cores=99), Wanted(cores="16+"), Wanted(cores=4))), nodes) == [
        "middle",
        "big",
    ]


def test_ordered_looks_only_at_nodes_that_meet_the_rest(nodes: list[Node]) -> None:
    assert names(Wanted(gpu=Gpu(), ordered=(Wanted(cores=4), Wanted(cores=16))), nodes) == ["middle"]


def test_ordered_looks_only_at_nodes_with_the_resources(nodes: list[Node]) -> None:
    wanted = Wanted(ordered=(Wanted(cores=4), Wanted(cores=16)))
    assert names(wanted, nodes, Resources(cpu="8+")) == ["middle"]


def test_alternatives_nest(nodes: list[Node]) -> None:
    inner = Wanted(ordered=(Wanted(cores=99), Wanted(cores=64)))
    assert names(Wanted(any_of=(Wanted(cores=4), inner)), nodes) == ["small", "big"]


def test_table_has_a_row_for_each_node_and_a_line_for_each_requirement(nodes: list[Node]) -> None:
    table = match(Wanted(cores="16+", any_of=(Wanted(arch="arm64"), Wanted(gpu=Gpu()))), nodes[:2]).table
    assert [(row["node"], row["fits"]) for row in table] == [("small", False), ("middle", True)]
    assert [(line["path"], line["asked"], line["has"], line["ok"]) for line in table[0]["lines"]] == [
        ("run.hardware.cores", "16+", "4", False),
        ("run.hardware.any_of[0].arch", "arm64", "x86_64", False),
        ("run.hardware.any_of[1].gpu.count", "1+", "0", False),
        ("run.hardware.any_of", "any of 2", "none of them", False),
    ]
    assert table[1]["lines"][-1] == {
        "path": "run.hardware.any_of",
        "asked": "any of 2",
        "has": "[1]",
        "ok": True,
    }
    assert json.loads(json.dumps(table)) == list(table)


def test_every_field_that_is_asked_is_in_the_table_even_after_a_failing_one(nodes: list[Node]) -> None:
    lines = match(Wanted(arch="arm64", cores=4, os="debian"), nodes[:1]).table[0]["lines"]
    assert [line["ok"] for line in lines] == [False, True, True]


def test_reason_names_the_first_failing_line_of_each_node(nodes: list[Node]) -> None:
    reason = match(Wanted(any_of=(Wanted(cores=99),), memory="1Ti+"), nodes[:1]).reason
    assert reason == "No node fits: small has 251 GiB where run.hardware.memory asks for 1Ti+."


def test_reason_when_only_an_alternative_failed(nodes: list[Node]) -> None:
    reason = match(Wanted(any_of=(Wanted(cores=99),)), nodes[:1]).reason
    assert reason == "No node fits: small has none of them where run.hardware.any_of asks for any of 1."


def test_no_nodes_is_a_reason_too() -> None:
    assert match(Wanted(cores=1), []).reason == "There is no node to choose from."


def test_resources_must_fit_as_well(nodes: list[Node]) -> None:
    assert names(Wanted(), nodes, Resources(cpu=8, gpu=3)) == ["middle", "big"]
    row = match(Wanted(), nodes[:1], resources=Resources(cpu=8), path="build.hardware").table[0]
    assert row["lines"] == [{"path": "build.resources.cpu", "asked": "8", "has": "4", "ok": False}]


@pytest.mark.parametrize(
    ("resources", "fits"),
    [
        (Resources(), True),
        (Resources(cpu="1+"), True),
        (Resources(cpu="4..99"), True),
        (Resources(cpu=5), False),
        (Resources(cpu="500m"), True),
        (Resources(memory="251Gi"), True),
        (Resources(memory="252Gi"), False),
        (Resources(gpu=3), True),
        (Resources(gpu=4), False),
    ],
)
def test_resources(make_node: Callable[..., Node], resources: Resources, fits: bool) -> None:
    assert all(line["ok"] for line in fits_resources(resources, make_node(cores=4))) is fits


def test_memory_that_is_not_known_is_not_enough(make_node: Callable[..., Node]) -> None:
    (line,) = fits_resources(Resources(memory=1), make_node(memory=None))
    assert (line["has"], line["ok"]) == ("unknown", False)


def test_what_cannot_be_read_is_refused_with_every_fault(nodes: list[Node]) -> None:
    with pytest.raises(RequestError) as caught:
        match(Wanted(cores="many", microarchitecture="zen33"), nodes, resources=Resources(memory="x"))
    assert [fault.path for fault in caught.value.faults] == [
        "run.hardware.cores",
        "run.hardware.microarchitecture",
        "run.resources.memory",
    ]
