"""What the shim is told of jobs of our own code, of their sources, and of those that call an engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from djed.errors import DjedError, MissingPartError, NotFoundError, RefusedError, RunnerError
from djed.model.codec import decode
from djed.model.engine import ContainerEngine
from djed.model.job import At, Job
from djed.run.sandbox import Inside, Sandbox, Wrap
from djed.toolbox.rootfs import prepare
from tests.support.orders import BWRAP, PROCESS, bound, inside, ordered


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image/root").mkdir(parents=True)
    prepare(tmp_path / "image/root")
    return tmp_path / "image"


def test_our_own_code_runs_by_our_own_interpreter() -> None:
    job = Job(
        kind="base", command=(At(place="interpreter"), At(place="djed", path="build/inside")), tools=True
    )
    real = Path(sys.executable).resolve()
    told = ordered(job, BWRAP)
    assert told["command"] == [str(real), "/djed/lib/djed/build/inside"]
    binds = bound(told)
    assert binds["/djed/lib/djed"][0] == "ro"
    assert Path(binds["/djed/lib/djed"][1], "build/inside/__main__.py").exists()
    prefix = str(real.parent.parent)
    assert prefix.startswith("/usr") or binds[prefix] == ("ro", prefix)
    plain = ordered(job, PROCESS)
    assert Path(plain["command"][1], "__main__.py").exists()


def test_our_code_is_there_in_an_image_too_but_not_our_interpreter(image: Path) -> None:
    assert inside(image, tools=True, command=(At(place="djed"),))["command"] == ["/djed/lib/djed"]
    with pytest.raises(RunnerError, match="interpreter"):
        inside(image, tools=True, command=(At(place="interpreter"),))


def test_a_source_is_read_only_and_real(tmp_path: Path) -> None:
    (tmp_path / "base.tar").touch()
    (tmp_path / "link.tar").symlink_to("base.tar")
    job = Job(kind="base", command=(At(place="source"),), source=str(tmp_path / "link.tar"))
    told = ordered(job, BWRAP)
    assert told["command"] == ["/djed/source"]
    assert bound(told)["/djed/source"] == ("ro", str(tmp_path / "base.tar"))
    assert ordered(job, PROCESS)["command"] == [str(tmp_path / "base.tar")]


@pytest.mark.parametrize(("source", "error"), [("/nowhere/base.tar", NotFoundError), ("/", RefusedError)])
def test_a_source_that_is_gone_or_holds_our_data_is_refused(source: str, error: type[DjedError]) -> None:
    with pytest.raises(error):
        ordered(Job(kind="base", command=("x",), source=source), BWRAP)


PODMAN = ContainerEngine(name="podman", version="4.3.1", path="/usr/bin/podman", builds=True, runs=True)
DOCKER = ContainerEngine(name="docker", version="27.0", path="/usr/bin/docker", runs=True)


def test_a_job_that_calls_an_engine_has_no_sandbox_and_the_users_settings() -> None:
    environ = {
        "HOME": "/home/me",
        "DOCKER_HOST": "unix:///run/me.sock",
        "CONTAINERS_CONF": "/etc/mine.conf",
        "HTTPS_PROXY": "http://proxy.example",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "LD_PRELOAD": "/evil.so",
    }
    job = Job(
        kind="native",
        command=("x",),
        engine=True,
        cache="private",
        variables={"DOCKER_HOST": "evil", "STEP": "1"},
    )
    told = ordered(job, PROCESS, environ, engines=(DOCKER, PODMAN))
    assert (told["wrap"], told["speaks"], told["level"], told["engine"]) == ([], None, "process", True)
    found = told["environ"]
    assert {
        name: found[name] for name in ("HOME", "DOCKER_HOST", "CONTAINERS_CONF", "HTTPS_PROXY", "STEP")
    } == {
        **{name: environ[name] for name in ("HOME", "DOCKER_HOST", "CONTAINERS_CONF", "HTTPS_PROXY")},
        "STEP": "1",
    }
    assert not {"AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"} & found.keys()
    assert decode(ContainerEngine, json.loads(found["DJED_ENGINE"])) == PODMAN, "the first that builds"
    assert found["TMPDIR"] == "/data/attempts/djed-j-1/cache"
    assert "/usr/sbin" in found["PATH"].split(":")


def test_a_job_that_calls_an_engine_is_not_wrapped_whatever_the_level() -> None:
    assert ordered(Job(kind="base", command=("x",), engine=True), BWRAP, engines=(DOCKER,))["wrap"] == []


def test_without_an_engine_only_those_that_build_are_refused() -> None:
    told = ordered(Job(kind="base", command=("x",), engine=True), PROCESS)
    assert "DJED_ENGINE" not in told["environ"]
    with pytest.raises(MissingPartError, match="engine"):
        ordered(Job(kind="native", command=("x",), engine=True), PROCESS, engines=(DOCKER,))


def test_nothing_is_loaded_into_an_engine() -> None:
    with pytest.raises(RunnerError, match="LD_PRELOAD"):
        ordered(Job(kind="base", command=("x",), engine=True, variables={"LD_PRELOAD": "/x.so"}), PROCESS)


def test_a_table_says_what_makes_a_level() -> None:
    def make(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
        assert (sandbox.level, inside.name, etc) == ("container", "djed-j-1", Path("/data/etc"))
        assert inside.variables["WORD"] == "x"
        return Wrap(argv=("/engine", "run"), environ={"A": "b"}, after=(("/engine", "rm"),))

    job = Job(kind="run", command=("true", At(place="work")), variables={"WORD": "x"}, secrets=("key",))
    told = ordered(job, Sandbox(level="container", tool="engine 1"), wraps={"container": make})
    assert (told["wrap"], told["command"]) == (["/engine", "run"], ["true", "/djed/work"])
    assert (told["speaks"], told["wrap_environ"], told["after"]) == (
        "engine",
        {"A": "b"},
        [["/engine", "rm"]],
    )
    assert told["environ"]["DJED_SECRETS"] == "/djed/secrets"
    assert told["secrets"]["folder"] != "/djed/secrets", (
        "the shim writes them where the container is to find them"
    )
