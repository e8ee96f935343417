"""How far a request goes, and on which machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from djed.model.hardware import Node
from djed.model.request import Build, HardwareRequirement, Request, Run
from djed.pipeline import advance
from tests.support.flow import LOCK, SCRIPT, FakeContext, inspection, record


@dataclass
class Machines(FakeContext):
    """Nodes of several machines, some with more to do than others."""

    work: dict[str, float] = field(default_factory=dict)
    late: Sequence[Node] = ()

    def load(self, node: str) -> float:
        return self.work.get(node, 0.0)

    def look_again(self) -> bool:
        came, self.nodes, self.late = bool(self.late), (*self.nodes, *self.late), ()
        return came


def machines(*names: str, **work: float) -> Machines:
    node = FakeContext().nodes[0]
    nodes = tuple(replace(node, id=f"local/{name}", place=name, labels={"machine": name}) for name in names)
    return Machines(nodes=nodes, work={f"local/{name}": load for name, load in work.items()})


def on(name: str) -> HardwareRequirement:
    return HardwareRequirement(labels={"machine": name})


def test_until_the_lock_a_known_lock_is_the_end() -> None:
    request = Request(run=Run(script=SCRIPT), until="lock")
    move = advance(inspection(request=request), [], FakeContext(lock=LOCK))
    assert (move.changes["state"], move.changes["outcome"], move.jobs) == ("done", "succeeded", ())


def test_until_the_lock_the_lock_that_a_job_made_is_the_end() -> None:
    request = Request(run=Run(script=SCRIPT), until="lock")
    context = FakeContext(lock=LOCK)
    move = advance(inspection("locking", request=request, lock=None), [record("lock")], context)
    assert (move.changes["state"], move.changes["lock"]) == ("done", LOCK)


def test_until_the_build_nothing_runs() -> None:
    request = Request(run=Run(script=SCRIPT), until="build")
    move = advance(inspection("running", request=request), [record("build")], FakeContext(built=True))
    assert (move.changes["state"], move.changes["outcome"], move.jobs) == ("done", "succeeded", ())


def test_a_request_that_does_not_run_needs_no_node_to_run_on() -> None:
    request = Request(run=Run(script=SCRIPT, hardware=on("nowhere")), until="build")
    move = advance(inspection(request=request), [], machines("here"))
    assert move.changes["plan"].run_node is None


def test_of_machines_that_fit_the_one_with_the_least_to_do_is_chosen() -> None:
    move = advance(inspection(), [], machines("busy", "idle", busy=3.0, idle=0.5))
    plan = move.changes["plan"]
    assert (plan.build_node, plan.run_node, plan.place) == ("local/idle", "local/idle", "idle")
    assert move.changes["place"] == "idle"


def test_an_environment_is_built_on_the_machine_where_it_runs() -> None:
    request = Request(run=Run(script=SCRIPT, hardware=on("right")))
    move = advance(inspection(request=request), [], machines("left", "right", right=9.0))
    assert move.changes["plan"].build_node == "local/right"


def test_a_build_and_a_run_that_fit_different_machines_are_refused() -> None:
    request = Request(build=Build(hardware=on("left")), run=Run(script=SCRIPT, hardware=on("right")))
    move = advance(inspection(request=request), [], machines("left", "right"))
    assert move.changes["state"] == "refused"
    assert "No one machine" in move.changes["failure"].message


def test_a_node_that_has_come_since_is_asked_before_anything_is_refused() -> None:
    context = machines("left")
    context.late = machines("right").nodes
    move = advance(inspection(request=Request(run=Run(script=SCRIPT, hardware=on("right")))), [], context)
    assert move.changes["plan"].run_node == "local/right"
