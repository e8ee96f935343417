"""Lock, wheel and environment, made for real by uv in the local runner's sandbox."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
from tests.support.index import Distribution, LoopbackIndex, sdist, wheel

from djed.build import (
    Assembly,
    BuildError,
    Sealed,
    VenvBuilder,
    WheelBuilder,
    check_manifest,
    given_lock,
    host_digest,
    needs_lock_job,
    read_lock,
    render_lock,
    source_packages,
)
from djed.config import Config
from djed.errors import ToolError
from djed.model.artifact import Artifact
from djed.model.hardware import Interpreter, Node
from djed.model.job import Attempt, Job, Limits
from djed.model.lock import Lock, LockedPackage
from djed.model.request import Environment, Index
from djed.model.result import Result
from djed.run.local import LocalRunner

pytestmark = [pytest.mark.needs("uv"), pytest.mark.needs("bwrap")]

LIMITS = Limits(timeout=60, disk=2**30)


@dataclass
class Shelf:
    """Artifacts where the runner finds them."""

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    def blob(self, digest: str) -> Path:
        raise AssertionError(f"no job here has the blob {digest}")

    def artifact(self, digest: str) -> Path:
        return self.paths[digest]

    def keep(self, sealed: Sealed) -> Artifact:
        """Move a sealed artifact to its place, as the engine does."""
        place = self.folder / sealed.artifact.path
        place.parent.mkdir(parents=True, exist_ok=True)
        sealed.path.rename(place)
        self.paths[sealed.artifact.digest] = place
        return sealed.artifact


class Workshop:
    """Runs the jobs of one test and hands on what they leave."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.data = folder / "data"
        self.attempts = self.data / "attempts"
        self.shelf = Shelf(folder=self.data / "artifacts")
        self.runner = LocalRunner(self.attempts, self.shelf, config=Config(data=self.data))
        self.node = node
        self.interpreter: Interpreter = node.interpreters[0]
        self.base = host_digest(self.node, self.interpreter)
        self._numbers = count(1)
        self.errors = ""

    def run(self, job: Job) -> tuple[Result, Path]:
        """The result of a job, and its outputs; what it wrote to stderr is in ``errors``."""
        number = next(self._numbers)
        name = f"djed-test-{number}"
        attempt = Attempt(name=name, job_id="test", number=number, job=job, node=self.node.id)
        handle = self.runner.submit(attempt)
        while self.runner.poll([handle])[name].state in {"waiting", "running"}:
            descriptor = self.runner.fileno(handle)
            select.select([descriptor] if descriptor is not None else [], [], [], 1)
        result = self.runner.collect(handle, self.attempts / name)
        self.errors = b"".join(self.runner.logs(handle, "stderr")).decode(errors="replace")
        return result, self.attempts / name / "outputs"

    def lock(self, environment: Environment) -> Lock:
        """Lock it with a job."""
        job = render_lock(
            environment, interpreter=self.interpreter, node=self.node, limits=LIMITS, sandbox="bwrap"
        )
        result, outputs = self.run(job)
        assert result.exit_code == 0, self.errors
        return read_lock(outputs, environment, interpreter=self.interpreter, node=self.node, base=self.base)

    def assembly(self, environment: Environment, lock: Lock) -> Assembly:
        return Assembly(
            environment=environment,
            lock=lock,
            interpreter=self.interpreter,
            node=self.node,
            base=self.base,
            limits=LIMITS,
            sandbox="bwrap",
        )

    def wheel(self, assembly: Assembly) -> Artifact:
        """Build the wheel of ``assembly.package``."""
        result, outputs = self.run(WheelBuilder().render(assembly))
        assert result.exit_code == 0, self.errors
        return self.shelf.keep(WheelBuilder().seal(assembly, result, outputs))

    def build(self, environment: Environment, lock: Lock | None = None) -> Artifact:
        """Lock it, build what has no wheel, and then the environment."""
        assembly = self.assembly(environment, lock or self.lock(environment))
        wheels = {
            name: self.wheel(replace(assembly, package=name)) for name in source_packages(assembly.lock)
        }
        assembly = replace(assembly, wheels=wheels)
        result, outputs = self.run(VenvBuilder().render(assembly))
        assert result.exit_code == 0, self.errors
        return self.shelf.keep(VenvBuilder().seal(assembly, result, outputs))

    def python(self, artifact: Artifact, code: str) -> str:
        """What a line of Python prints in the environment, where it has been moved to."""
        python = self.shelf.paths[artifact.digest] / "bin/python"
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()


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


def test_modules_are_compiled_so_that_a_read_only_environment_imports_quickly(
    workshop: Workshop, serve: Serve
) -> None:
    index = serve(
        wheel("app", "1.0"), wheel("bad", "1.0", files={"bad/__init__.py": "", "bad/old.py": "print 1"})
    )
    artifact = workshop.build(asking(index, "app", "bad"))
    cached = workshop.python(artifact, "import app; print(app.__spec__.cached)")
    assert Path(cached).is_file()
    assert list((workshop.data / "packages/uv/djed-bytecode").glob("*/*/*.pyc"))


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
