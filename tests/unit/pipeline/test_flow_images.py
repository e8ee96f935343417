"""What the flow asks for where an environment rests on an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from djed.build import Assembly, Sealed
from djed.model.artifact import Artifact, ArtifactKind
from djed.model.contents import NativePackage
from djed.model.engine import ContainerEngine
from djed.model.hardware import Interpreter
from djed.model.image import Image
from djed.model.inspection import Inspection
from djed.model.job import Job
from djed.model.lock import Lock
from djed.model.request import Build, Environment, Request, Run
from djed.pipeline import Move, advance
from tests.support.flow import SCRIPT, FakeContext, inspection, record

PYTHON = Interpreter(path="/usr/bin/python3.11", version="3.11.2", prefix="/usr")
IMAGE = Image(
    reference="oci:/base",
    digest="sha256:manifest",
    arch="x86_64",
    os="debian",
    os_version="12",
    libc="glibc2.36",
    package_manager="apt",
    interpreters=(PYTHON,),
    variables={"PATH": "/usr/bin:/bin", "LANG": "C"},
    native=(NativePackage(kind="deb", name="libgomp1", version="12.2.0-14", arch="amd64"),),
)
BASE = Artifact(
    digest="sha256:base-artifact", kind="image", path="image/a", size=1, manifest="sha256:m", image=IMAGE
)


class FakeBuilder:
    """Names what it is asked for by role."""

    kind: ArtifactKind = "image"

    def __init__(self, role: str) -> None:
        self.role = role

    def digest(self, assembly: Assembly) -> str:
        return f"sha256:{self.role}"

    def render(self, assembly: Assembly) -> Job:
        image = assembly.image
        kind: Any = self.role if self.role in {"base", "native"} else "package"
        return Job(kind=kind, command=("true",), image=image.digest if image else None)

    def seal(self, assembly: Assembly, result: Any, outputs: Any) -> Sealed:
        raise NotImplementedError


@pytest.fixture
def context() -> FakeContext:
    found = FakeContext()
    engine = ContainerEngine(name="podman", version="4.3.1", path="/usr/bin/podman", builds=True)
    found.nodes = tuple(replace(node, engines=(engine,)) for node in found.nodes)
    found.builders = {
        **found.builders,
        **{role: FakeBuilder(role) for role in ("base", "native", "image", "archive")},
    }
    return found


def asking(state: str = "queued", **fields: Any) -> Inspection:
    environment = Environment(base="oci:/base", packages=("app",), **fields)
    return inspection(state, environment=environment, **({"lock": None} if state == "locking" else {}))


def planned(move: Move, before: Inspection, state: str = "locking") -> Inspection:
    """The inspection after a move."""
    fields = {name: move.changes[name] for name in ("plan", "lock", "artifact") if name in move.changes}
    return replace(before, state=state, **fields)  # type: ignore[arg-type]


def test_the_base_is_made_first(context: FakeContext) -> None:
    move = advance(asking(), [], context)
    (job,) = move.jobs
    assert (move.changes["state"], move.park, job.role, job.key) == ("locking", True, "base", "sha256:base")
    assert move.changes["plan"].lock_key is None
    assert not context.equipped, "bubblewrap is enough for what lies on the machine"


def test_engines_are_looked_for_where_one_is_needed(context: FakeContext) -> None:
    advance(asking(native=("libgomp1",)), [], context)
    assert context.equipped


def test_a_base_that_is_made_is_locked_inside(context: FakeContext) -> None:
    asked = asking()
    first = advance(asked, [], context)
    context.lock, context.artifacts = Lock(base=BASE.digest), {BASE.digest: BASE}
    locks = context.find_lock
    context.find_lock = lambda key, *, settled: locks(key, settled=settled) if key == "sha256:base" else None  # type: ignore[method-assign]
    move = advance(planned(first, asked), [record("base")], context)
    (job,) = move.jobs
    assert (job.role, job.job.image, job.job.inside) == ("lock", BASE.digest, True)
    plan = move.changes["plan"]
    assert (plan.base, plan.image, plan.python) == ("sha256:manifest", BASE.digest, PYTHON.path)
    assert move.uses == (BASE.digest,)


def test_native_packages_come_before_the_lock(context: FakeContext) -> None:
    asked = asking(native=("libgomp1",))
    first = advance(asked, [], context)
    context.lock, context.artifacts = Lock(base=BASE.digest), {BASE.digest: BASE}
    move = advance(planned(first, asked), [record("base")], context)
    assert [job.role for job in move.jobs] == ["native"]
    assert move.jobs[0].job.image == BASE.digest


def test_a_base_that_failed_ends_the_inspection(context: FakeContext) -> None:
    asked = asking()
    first = advance(asked, [], context)
    move = advance(planned(first, asked), [record("base", "failed", "no_python")], context)
    assert (move.changes["state"], move.changes["outcome"]) == ("done", "failed")


def test_an_image_without_a_python_is_told_what_to_add(context: FakeContext) -> None:
    bare = replace(BASE, image=replace(IMAGE, interpreters=()))
    context.lock, context.artifacts = Lock(base=BASE.digest), {BASE.digest: bare}
    failure = advance(asking(), [], context).changes["failure"]
    assert (failure.kind, failure.hint) == ("no_python", "Add it: native: [python3]")


def test_an_image_without_a_python_runs_what_needs_none(context: FakeContext) -> None:
    bare = replace(BASE, image=replace(IMAGE, interpreters=()))
    context.lock, context.artifacts = Lock(base=BASE.digest), {BASE.digest: bare}
    asked = inspection(environment=Environment(base="oci:/base"), run=Run(command=("true",)))
    move = advance(asked, [], context)
    assert (move.changes["state"], move.changes["plan"].python) == ("building", None)
    built = advance(planned(move, asked, "building"), [], context)
    assert (built.changes["state"], built.changes["artifact"]) == ("running", None)
    ran = advance(planned(built, planned(move, asked), "running"), [], context)
    (job,) = ran.jobs
    assert (job.job.environment, job.job.inside, job.job.image) == (None, True, BASE.digest)


def test_where_no_sandbox_holds_an_image_it_is_refused(context: FakeContext) -> None:
    context.nodes = tuple(replace(node, sandboxes=("none", "process")) for node in context.nodes)
    failure = advance(asking(), [], context).changes["failure"]
    assert failure.kind == "refused"
    assert "sandbox" in failure.message


def test_an_engine_is_a_target_of_the_node(context: FakeContext) -> None:
    nodes = [replace(node, sandboxes=(*node.sandboxes, "container")) for node in context.nodes]
    context.nodes = [replace(node, engines=(replace(node.engines[0], runs=True),)) for node in nodes]
    request = Request(
        environment=Environment(base="oci:/base"),
        build=Build(targets=("podman",)),
        run=Run(command=("true",), targets=("docker", "podman")),
    )
    plan = advance(inspection(request=request), [], context).changes["plan"]
    assert (plan.build_target, plan.run_target, plan.build_node) == ("podman", "podman", plan.run_node)


def test_a_container_on_the_host_is_refused(context: FakeContext) -> None:
    context.nodes = [
        replace(
            node, sandboxes=(*node.sandboxes, "container"), engines=(replace(node.engines[0], runs=True),)
        )
        for node in context.nodes
    ]
    move = advance(inspection(run=Run(command=("true",), targets=("podman",))), [], context)
    assert move.changes["state"] == "refused"
    assert "environment.base is the host" in move.changes["failure"].message


def test_native_packages_need_an_engine(context: FakeContext) -> None:
    context.nodes = tuple(replace(node, engines=()) for node in context.nodes)
    failure = advance(asking(native=("libgomp1",)), [], context).changes["failure"]
    assert failure.kind == "refused"
    assert "an engine that builds" in failure.message


def test_what_it_is_packaged_as_is_made_before_it_runs(context: FakeContext) -> None:
    context.artifacts = {BASE.digest: BASE}
    plan = replace(inspection("building").plan, image=BASE.digest, base="sha256:manifest", python=PYTHON.path)  # type: ignore[type-var]
    request = Request(
        environment=Environment(base="oci:/base", packages=("app",)),
        build=Build(package=("image", "archive")),
        run=Run(script=SCRIPT),
    )
    asked = inspection("building", request=request, plan=plan)
    first = advance(asked, [], context)
    assert [job.role for job in first.jobs] == ["build"]
    digest = first.changes["artifact"]
    context.artifacts[digest] = replace(BASE, digest=digest, kind="venv", image=None)
    second = advance(asked, [record("build")], context)
    assert [job.role for job in second.jobs] == ["package:image", "package:archive"]
    context.artifacts |= {key: replace(BASE, digest=key) for key in ("sha256:image", "sha256:archive")}
    third = advance(asked, [record("build"), record("package:image"), record("package:archive")], context)
    assert third.changes["packaged"] == {"image": "sha256:image", "archive": "sha256:archive"}
    assert (third.changes["state"], third.uses) == ("running", ("sha256:image", "sha256:archive"))


def test_a_run_inside_gets_the_images_variables_and_its_own_path_first(context: FakeContext) -> None:
    context.artifacts = {BASE.digest: BASE}
    plan = replace(inspection("running").plan, image=BASE.digest, python=PYTHON.path)  # type: ignore[type-var]
    request = Request(
        environment=Environment(base="oci:/base", variables={"LANG": "C.UTF-8"}), run=Run(script=SCRIPT)
    )
    move = advance(inspection("running", request=request, plan=plan), [], context)
    (job,) = move.jobs
    assert job.job.variables == {"PATH": "/djed/env/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    assert (job.job.inside, job.job.image) == (True, BASE.digest)
