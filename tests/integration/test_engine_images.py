"""Environments on images, from end to end: a real Debian as base, real engines, real packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from djed.intake.submission import Submission
from djed.model.inspection import Inspection, JobRecord
from djed.model.request import Build, Environment, Request, Run
from djed.service import Engine
from tests.support.images import debian_root, layout_of
from tests.support.index import LoopbackIndex, wheel
from tests.support.live import open_engine, outcomes, packages, script, submit

DEBIAN = ("python3", "ca-certificates")

pytestmark = pytest.mark.needs("uv", "bwrap", "mmdebstrap")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(tmp_path_factory.mktemp("engine"), "gvisor") as engine, engine.working():
        yield engine


@pytest.fixture(scope="module")
def index() -> Iterator[LoopbackIndex]:
    with LoopbackIndex(
        wheel("app", "1.0", requires=["lib"]), wheel("lib", "1.0"), wheel("lib", "2.0")
    ) as index:
        yield index


@pytest.fixture(scope="module")
def base() -> str:
    return f"rootfs:{debian_root(DEBIAN)}"


def done(engine: Engine, *submissions: Submission) -> list[Inspection]:
    """Submit together and wait until all are final."""
    ids = submit(engine, *submissions)
    for _ in engine.follow(ids):
        pass
    return [engine.get(id_) for id_ in ids]


def on(base: str, submission: Submission, **fields: object) -> Submission:
    """The same on a base."""
    environment = replace(submission.request.environment, base=base, **fields)  # type: ignore[arg-type]
    return replace(submission, request=replace(submission.request, environment=environment))


def jobs(engine: Engine, id_: str) -> dict[str, JobRecord]:
    return {item.role: item for item in engine.jobs(id_)}


def stdout(engine: Engine, id_: str, role: str = "run:0") -> str:
    return engine.log(jobs(engine, id_)[role].id).decode()


def cached(engine: Engine, id_: str) -> list[str]:
    found = engine.events([id_])
    return [event.data["role"] for event in found if event.kind == "job" and event.data["state"] == "cached"]


def test_an_environment_rests_on_a_root(engine: Engine, index: LoopbackIndex, base: str) -> None:
    asked = script(
        "import app, lib, sys\nprint(lib.VERSION, sys.prefix, open('/etc/os-release').read().count('bookworm') > 0)",
        path="a.py",
        environment=packages("app", "lib<2", index=index.url),
    )
    (found,) = done(engine, on(base, asked))
    assert outcomes([found]) == ["succeeded"], found.failure
    assert stdout(engine, found.id) == "1.0 /djed/env True\n"
    assert list(jobs(engine, found.id)) == ["base", "lock", "build", "run:0"]
    assert found.lock is not None
    assert found.plan is not None
    assert found.lock.base == found.plan.base
    assert found.lock.platform is not None
    assert "glibc2.36" in found.lock.platform

    (other,) = done(engine, on(base, replace_packages(asked, index, "app", "lib==2.0")))
    assert outcomes([other]) == ["succeeded"], other.failure
    assert stdout(engine, other.id).startswith("2.0 ")
    assert list(jobs(engine, other.id)) == ["lock", "build", "run:0"], "the base is made once"


def replace_packages(submission: Submission, index: LoopbackIndex, *names: str) -> Submission:
    environment = packages(*names, index=index.url)
    return replace(submission, request=replace(submission.request, environment=environment))


def test_a_script_needs_no_python(engine: Engine, base: str) -> None:
    asked = script(
        "#!/bin/sh\n. /etc/os-release && echo $ID $VERSION_ID\n",
        path="a.sh",
    )
    (found,) = done(engine, on(base, asked))
    assert outcomes([found]) == ["succeeded"], found.failure
    assert stdout(engine, found.id) == "debian 12\n"


@pytest.mark.needs("podman")
def test_native_packages_are_installed_once_and_told_exactly(
    engine: Engine, index: LoopbackIndex, base: str
) -> None:
    asked = script(
        "#!/bin/sh\nls /usr/lib/x86_64-linux-gnu/libgomp.so.1 && python -c 'import lib; print(lib.VERSION)'\n",
        path="a.sh",
        environment=packages("lib", index=index.url),
    )
    (found,) = done(engine, on(base, asked, native=("libgomp1",)))
    assert outcomes([found]) == ["succeeded"], (found.failure, log_of(engine, found.id, "native"))
    assert found.lock is not None
    assert [item.name for item in found.lock.native] == ["libgomp1"]
    assert found.lock.native[0].version.startswith("12.2.0")
    roles = list(jobs(engine, found.id))
    assert "native" in roles
    assert roles.index("native") < roles.index("lock")

    (again,) = done(engine, on(base, replace_packages(asked, index, "lib<2"), native=("libgomp1",)))
    assert outcomes([again]) == ["succeeded"], again.failure
    assert "native" not in jobs(engine, again.id)


def log_of(engine: Engine, id_: str, role: str) -> str:
    found = jobs(engine, id_).get(role)
    return "" if found is None else engine.log(found.id, "stderr").decode()[-2000:]


@pytest.mark.needs("podman")
@pytest.mark.parametrize("native", ["libgomp9", "libgomp1=0.0.1"])
def test_a_native_package_that_cannot_be_had_is_named(engine: Engine, base: str, native: str) -> None:
    asked = Submission(request=Request(environment=Environment(base=base, native=(native,)), until="build"))
    (found,) = done(engine, asked)
    assert outcomes([found]) == ["failed"]
    assert found.failure is not None
    assert native.partition("=")[0] in found.failure.message


@pytest.mark.parametrize("target", [pytest.param("podman", marks=pytest.mark.needs("podman"))])
def test_built_and_run_by_an_engine(engine: Engine, index: LoopbackIndex, base: str, target: str) -> None:
    asked = script(
        "import lib\nprint(lib.VERSION)", path="a.py", environment=packages("lib", index=index.url)
    )
    assert asked.request.run is not None
    run = replace(asked.request.run, targets=(target,))
    request = replace(asked.request, run=run, build=Build(targets=(target,)))
    (found,) = done(engine, on(base, replace(asked, request=request)))
    assert outcomes([found]) == ["succeeded"], found.failure
    assert stdout(engine, found.id) == "2.0\n"
    result = (
        jobs(engine, found.id)["run:0"].result
        or engine.attempts(jobs(engine, found.id)["run:0"].id)[0].result
    )
    assert result is not None
    assert result["sandbox"] == "container"
    assert target in result["sandbox_tool"]


def test_packaged_as_image_and_archive(engine: Engine, index: LoopbackIndex, base: str) -> None:
    asked = script(
        "import lib\nprint(lib.VERSION)", path="a.py", environment=packages("lib", index=index.url)
    )
    asked = on(
        base,
        replace(
            asked, request=replace(asked.request, build=Build(package=("image", "archive")), until="build")
        ),
    )
    (found,) = done(engine, asked)
    assert outcomes([found]) == ["succeeded"], found.failure
    assert set(found.packaged) == {"image", "archive"}
    (again,) = done(engine, asked)
    assert again.packaged == found.packaged
    assert set(cached(engine, again.id)) >= {"lock", "build", "package:image", "package:archive"}


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("rootfs:/nowhere/at/all.tar", "/nowhere/at/all.tar"),
        ("oci:/proc", "oci:/proc"),
        ("rootfs:/dev/null", "/dev/null"),
    ],
)
def test_a_base_that_is_none_is_named(engine: Engine, base: str, words: str) -> None:
    asked = Submission(request=Request(environment=Environment(base=base), run=Run(command=("true",))))
    (found,) = done(engine, asked)
    assert outcomes([found]) != ["succeeded"]
    assert found.failure is not None
    assert words.partition(":")[2] or words in found.failure.message


def test_a_layout_is_the_same_as_its_root(engine: Engine, base: str, tmp_path: Path) -> None:
    layout = layout_of(debian_root(DEBIAN))
    asked = Submission(
        request=Request(environment=Environment(base=f"oci:{layout}"), run=Run(command=("true",)))
    )
    (found,) = done(engine, asked)
    assert outcomes([found]) == ["succeeded"], found.failure
