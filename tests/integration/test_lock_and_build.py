"""Lock, wheel and environment, made for real by uv in the local runner's sandbox."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import (
    BuildError,
    check_manifest,
    given_lock,
    needs_lock_job,
    read_lock,
    render_lock,
    source_packages,
)
from djed.build.venv import VenvBuilder
from djed.build.wheel import WheelBuilder
from djed.config import Config
from djed.errors import ToolError
from djed.model.hardware import Node
from djed.model.job import Job
from djed.model.lock import Lock, LockedPackage
from djed.model.request import Environment, Index
from djed.run.local import LocalRunner
from tests.support.index import Distribution, LoopbackIndex, sdist, wheel
from tests.support.workshop import LIMITS, Shelf, Workshop

pytestmark = [pytest.mark.needs("uv"), pytest.mark.needs("bwrap")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """This machine, asked once: to find its Pythons takes a second."""
    data = tmp_path_factory.mktemp("node")
    return LocalRunner(data / "attempts", Shelf(folder=data), config=Config(data=data)).nodes()[0]


@pytest.fixture
def workshop(tmp_path: Path, node: Node) -> Workshop:
    return Workshop(tmp_path, node)


Serve = Callable[..., LoopbackIndex]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts indexes that end with the test."""
    started: list[LoopbackIndex] = []

    def start(*distributions: Distribution) -> LoopbackIndex:
        started.append(LoopbackIndex(*distributions).__enter__())
        return started[-1]

    yield start
    for index in started:
        index.__exit__(None, None, None)


def asking(index: LoopbackIndex, *packages: str, **fields: object) -> Environment:
    return Environment(packages=packages, indexes=(Index(name="public", url=index.url),), **fields)  # type: ignore[arg-type]


def test_an_environment_is_locked_built_moved_and_imported(workshop: Workshop, serve: Serve) -> None:
    script = "[console_scripts]\nhello = app:hello\n"
    code = {"app/__init__.py": "VERSION = '1.0'\ndef hello(): print('hello from', __file__)\n"}
    licensed = ["License-Expression: Apache-2.0"]
    index = serve(
        wheel("app", "1.0", requires=["leaf>=1"], files=code, entry_points=script, metadata=licensed),
        wheel("leaf", "1.0"),
        wheel("leaf", "2.0"),
    )
    artifact = workshop.build(asking(index, "app"))
    assert [(item.name, item.version, item.licence) for item in artifact.contents] == [
        ("app", "1.0", "Apache-2.0"),
        ("leaf", "2.0", None),
    ]
    assert artifact.contents[0].hashes == (f"sha256:{index.distributions[0].sha256}",)
    assert artifact.contents[0].requires == ("leaf>=1",)
    assert workshop.python(artifact, "import app, leaf; print(app.VERSION, leaf.VERSION)") == "1.0 2.0"
    place = workshop.shelf.paths[artifact.digest]
    said = subprocess.run(
        [place / "bin/hello"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert said.startswith(f"hello from {place}/")


def test_in_a_sandbox_the_environment_is_elsewhere_and_cannot_be_written(
    workshop: Workshop, serve: Serve
) -> None:
    code = "import pathlib\ndef hello():\n    print(__file__)\n    pathlib.Path(__file__).write_text('changed')\n"
    script = "[console_scripts]\nhello = app:hello\n"
    index = serve(wheel("app", "1.0", files={"app/__init__.py": code}, entry_points=script))
    artifact = workshop.build(asking(index, "app"))
    job = Job(
        kind="run",
        command=("hello",),
        environment=artifact.digest,
        python=workshop.interpreter.path,
        limits=LIMITS,
        sandbox="bwrap",
    )
    result, outputs = workshop.run(job)
    place = str(workshop.shelf.paths[artifact.digest])
    said = (outputs.parent / "stdout").read_text()
    assert said.endswith("/site-packages/app/__init__.py\n")
    assert not said.startswith(place)
    assert result.exit_code == 1
    assert "Read-only file system" in workshop.errors
    assert check_manifest(Path(place), artifact.manifest)


def test_modules_are_compiled_so_that_a_read_only_environment_imports_quickly(
    workshop: Workshop, serve: Serve
) -> None:
    index = serve(
        wheel("app", "1.0"), wheel("bad", "1.0", files={"bad/__init__.py": "", "bad/old.py": "print 1"})
    )
    artifact = workshop.build(asking(index, "app", "bad"))
    cached = workshop.python(artifact, "import app; print(app.__spec__.cached)")
    assert Path(cached).is_file()
    assert list((workshop.data / "packages/uv/djed-bytecode-2").glob("*/*/*.pyc"))


def test_an_environment_without_packages_has_its_python(workshop: Workshop, serve: Serve) -> None:
    artifact = workshop.build(asking(serve()))
    assert artifact.contents == ()
    assert workshop.python(artifact, "import sys; print(sys.prefix != sys.base_prefix)") == "True"


def test_a_changed_environment_is_noticed(workshop: Workshop, serve: Serve) -> None:
    artifact = workshop.build(asking(serve(wheel("app", "1.0")), "app"))
    place = workshop.shelf.paths[artifact.digest]
    assert check_manifest(place, artifact.manifest)
    next(place.glob("lib/*/site-packages/app/__init__.py")).write_text("VERSION = '6.6.6'\n")
    assert not check_manifest(place, artifact.manifest)


def test_what_is_newer_than_the_date_is_not_seen(workshop: Workshop, serve: Serve) -> None:
    index = serve(wheel("leaf", "1.0"), wheel("leaf", "2.0", uploaded="2025-01-01T00:00:00Z"))
    assert workshop.lock(asking(index, "leaf", exclude_newer="2024-06-01")).stack == {"leaf": "1.0"}


def test_constraints_bound_versions_and_add_nothing(workshop: Workshop, serve: Serve) -> None:
    index = serve(
        wheel("app", "1.0", requires=["leaf"]), wheel("leaf", "1.0"), wheel("leaf", "2.0"), wheel("x", "1")
    )
    lock = workshop.lock(asking(index, "app", constraints=("leaf<2", "x==1")))
    assert lock.stack == {"app": "1.0", "leaf": "1.0"}


def test_a_configuration_file_of_uv_does_not_outrank_the_request(
    workshop: Workshop, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, configured = serve(wheel("leaf", "1.0"), wheel("leaf", "2.0")), serve(wheel("leaf", "9.0"))
    (tmp_path / "uv.toml").write_text(f'[[index]]\nurl = "{configured.url}"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    assert workshop.lock(asking(index, "leaf", constraints=("leaf<2",))).stack == {"leaf": "1.0"}
    assert configured.asked == []


def test_a_package_at_an_address_is_locked_by_its_hash(workshop: Workshop, serve: Serve) -> None:
    index = serve(wheel("leaf", "1.0"))
    address = f"{index.url.removesuffix('simple')}files/{index.distributions[0].filename}"
    artifact = workshop.build(asking(index, f"leaf @ {address}"))
    assert artifact.contents[0].hashes == (f"sha256:{index.distributions[0].sha256}",)


def test_a_dependency_of_a_dependency_comes_from_its_own_index_alone(
    workshop: Workshop, serve: Serve
) -> None:
    public = serve(
        wheel("app", "1.0", requires=["inner", "leaf"]), wheel("inner", "9.0"), wheel("leaf", "1.0")
    )
    private = serve(wheel("inner", "1.0"), wheel("leaf", "99.0"))
    own = Index(name="internal", url=private.url, packages=("inner",))
    environment = asking(public, "app")
    environment = replace(environment, indexes=(*environment.indexes, own))
    lock = workshop.lock(environment)
    assert {package.name: (package.version, package.index) for package in lock.packages} == {
        "app": ("1.0", None),
        "inner": ("1.0", "internal"),
        "leaf": ("1.0", None),
    }
    assert "/simple/inner/" not in public.asked
    artifact = workshop.build(environment, lock)
    assert [item.index for item in artifact.contents] == [None, "internal", None]


def test_a_package_missing_from_its_own_index_is_not_looked_for_elsewhere(
    workshop: Workshop, serve: Serve
) -> None:
    public, private = serve(wheel("app", "1.0", requires=["inner"]), wheel("inner", "9.0")), serve()
    own = Index(name="internal", url=private.url, packages=("inner",))
    environment = asking(public, "app")
    environment = replace(environment, indexes=(*environment.indexes, own))
    job = render_lock(environment, interpreter=workshop.interpreter, node=workshop.node, limits=LIMITS)
    result, _ = workshop.run(job)
    assert result.exit_code != 0
    assert "inner was not found" in workshop.errors
    assert "/simple/inner/" not in public.asked


def test_a_file_that_is_not_what_the_index_says_is_not_installed(workshop: Workshop, serve: Serve) -> None:
    index = serve(wheel("app", "1.0", advertised="0" * 64))
    environment = asking(index, "app")
    job = render_lock(environment, interpreter=workshop.interpreter, node=workshop.node, limits=LIMITS)
    result, outputs = workshop.run(job)
    if result.exit_code == 0:  # with the metadata in a cache, only the installation reads the file
        lock = read_lock(outputs, environment, interpreter=workshop.interpreter, node=workshop.node, base="")
        result, _ = workshop.run(VenvBuilder().render(workshop.assembly(environment, lock)))
    assert result.exit_code != 0
    assert "Hash mismatch for `app==1.0`" in workshop.errors
    assert "0" * 64 in workshop.errors


def test_a_package_with_only_a_source_is_built_by_a_job_of_its_own(workshop: Workshop, serve: Serve) -> None:
    index = serve(sdist("native", "1.0", requires=["leaf"]), wheel("leaf", "1.0"))
    artifact = workshop.build(asking(index, "native"))
    found = {item.name: (item.built, item.file) for item in artifact.contents}
    assert found == {
        "leaf": (False, "leaf-1.0-py3-none-any.whl"),
        "native": (True, "native-1.0-py3-none-any.whl"),
    }
    assert workshop.python(artifact, "import native; print(native.BUILT)") == "True"


def test_a_source_that_is_not_what_was_locked_is_not_built(workshop: Workshop, serve: Serve) -> None:
    index = serve(sdist("native", "1.0"))
    environment = asking(index, "native")
    lock = workshop.lock(environment)
    index.distributions = (sdist("native", "1.0", at_build="print('other')"),)
    assembly = replace(workshop.assembly(environment, lock), package="native")
    result, outputs = workshop.run(WheelBuilder().render(assembly))
    assert result.exit_code == 1
    assert "Hash mismatch" in workshop.errors
    with pytest.raises(ToolError):
        WheelBuilder().seal(assembly, result, outputs)


HOSTILE = """
import os, pathlib
seen = []
for place in {places!r}:
    try:
        pathlib.Path(place, "planted").write_text("hostile")
        seen.append(pathlib.Path(place, "secret").read_text())
    except OSError as error:
        seen.append(str(error))
raise SystemExit("SEEN " + repr(seen) + repr(dict(os.environ)))
"""


def test_build_code_sees_no_secret_and_plants_nothing_in_the_shared_cache(
    workshop: Workshop, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    workshop.build(asking(serve(wheel("app", "1.0")), "app"))
    shared = workshop.data / "packages/uv"
    for place in (workshop.data, shared):
        (place / "secret").write_text("hush")
    inside = ["/djed/cache", "/djed/packages/uv", str(workshop.data), str(shared)]
    index = serve(sdist("evil", "1.0", at_build=HOSTILE.format(places=inside), dynamic=True))
    environment = asking(index, "evil")
    job = render_lock(
        environment, interpreter=workshop.interpreter, node=workshop.node, limits=LIMITS, sandbox="bwrap"
    )
    result, _ = workshop.run(job)
    assert result.exit_code != 0
    assert "SEEN" in workshop.errors
    assert "hush" not in workshop.errors
    assert list((workshop.data / "packages").rglob("planted")) == []


def test_a_wheel_that_overwrites_another_package_spoils_its_own_environment_alone(
    workshop: Workshop, serve: Serve
) -> None:
    code = {"app/__init__.py": "VERSION = 'evil'\n"}
    index = serve(
        wheel("app", "1.0"),
        wheel("evil", "1.0", files={f"evil-1.0.data/purelib/{path}": text for path, text in code.items()}),
    )
    workshop.build(asking(index, "app", "evil"))
    artifact = workshop.build(asking(index, "app"))
    assert workshop.python(artifact, "import app; print(app.VERSION)") == "1.0"


def test_a_complete_lock_needs_no_job_and_is_verified_by_hash(workshop: Workshop, serve: Serve) -> None:
    index = serve(wheel("app", "1.0"))
    lock = workshop.lock(asking(index, "app"))
    environment = Environment(lock=lock)
    assert not needs_lock_job(environment)
    again = given_lock(environment, interpreter=workshop.interpreter, node=workshop.node, base=workshop.base)
    assert again.stack == {"app": "1.0"}
    index.distributions = (wheel("app", "1.0", files={"app/__init__.py": "VERSION = 'other'\n"}),)
    result, _ = workshop.run(VenvBuilder().render(workshop.assembly(environment, again)))
    assert result.exit_code != 0
    assert "Hash mismatch" in workshop.errors


def test_hashes_alone_choose_among_the_files_of_the_index(workshop: Workshop, serve: Serve) -> None:
    index = serve(wheel("app", "1.0", requires=["leaf"]), sdist("app", "1.0"))
    known = f"sha256:{index.distributions[1].sha256}"
    package = LockedPackage(name="app", version="1.0")
    environment = asking(index, lock=Lock(packages=(replace(package, hashes=(known,)),), origin="given"))
    assert needs_lock_job(environment)
    lock = workshop.lock(environment)
    assert (lock.stack, source_packages(lock), lock.origin) == ({"app": "1.0"}, ("app",), "given")
    other = replace(environment, lock=Lock(packages=(replace(package, hashes=("sha256:" + "0" * 64,)),)))
    with pytest.raises(BuildError) as caught:
        workshop.lock(other)
    assert caught.value.failure.kind == "hash_mismatch"


@pytest.mark.needs("index")
def test_numpy_from_the_configured_index_is_built_and_computes(workshop: Workshop) -> None:
    artifact = workshop.build(Environment(packages=("numpy==2.1.*",)))
    assert [item.name for item in artifact.contents] == ["numpy"]
    assert workshop.python(artifact, "import numpy; print(numpy.arange(4).sum())") == "6"
