"""What the shim is told, for every kind of job."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from djed.errors import DjedError, MissingPartError, NotFoundError, RefusedError, RunnerError, UnsafeError
from djed.model.codec import decode
from djed.model.engine import ContainerEngine
from djed.model.job import At, Attempt, Job, Limits
from djed.model.request import SandboxLevel
from djed.run import passing
from djed.run.levels import WRAPS
from djed.run.order import Site, order
from djed.run.sandbox import Inside, Sandbox, Wrap, Wrapper
from djed.toolbox.rootfs import prepare

BWRAP = Sandbox(level="bwrap", tool="bubblewrap 1.0", path="/usr/bin/bwrap")
PROCESS = Sandbox(level="process")


class Artifacts:
    def blob(self, digest: str) -> Path:
        raise NotImplementedError

    def artifact(self, digest: str) -> Path:
        return Path("/store") / digest.removeprefix("sha256:")

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotImplementedError


def _order(
    job: Job,
    sandbox: Sandbox,
    environ: Mapping[str, str] | None = None,
    materials: Artifacts | None = None,
    *,
    engines: tuple[ContainerEngine, ...] = (),
    wraps: Mapping[SandboxLevel, Wrapper] = WRAPS,
) -> dict[str, Any]:
    site = Site(
        data=Path("/data"),
        packages=Path("/data/packages"),
        etc=Path("/data/etc"),
        node="local/n",
        uv="/opt/uv",
        environ=environ or {},
        engines=engines,
    )
    attempt = Attempt(name="djed-j-1", job_id="j", number=1, job=job, node="local/n", cpus=(1,))
    return order(
        attempt,
        Path("/data/attempts/djed-j-1"),
        sandbox,
        site=site,
        materials=materials or Artifacts(),
        wraps=wraps,
    )


def _binds(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    wrap = told["wrap"]
    options = {"--bind": "rw", "--ro-bind": "ro", "--dev-bind": "dev"}
    return {
        wrap[index + 2]: (options[word], wrap[index + 1])
        for index, word in enumerate(wrap)
        if word in options
    }


def test_without_a_sandbox_places_are_the_real_paths() -> None:
    job = Job(
        kind="run",
        command=(At(place="work"), At(place="outputs"), At(place="env"), At(place="uv")),
        environment="sha256:ab",
    )
    told = _order(job, PROCESS)
    home = "/data/attempts/djed-j-1"
    assert told["command"] == [f"{home}/inputs", f"{home}/outputs", "/store/ab", "/opt/uv"]
    assert (told["wrap"], told["cwd"]) == ([], f"{home}/inputs")


def test_in_a_sandbox_only_work_and_outputs_are_writable() -> None:
    job = Job(
        kind="run",
        command=(At(place="work"), At(place="env", path="bin/x")),
        environment="sha256:ab",
        wheels=("sha256:cd",),
    )
    told = _order(job, BWRAP)
    assert told["command"] == ["/djed/work", "/djed/env/bin/x"]
    binds = _binds(told)
    assert {target for target, (mode, _) in binds.items() if mode != "ro"} == {"/djed/work", "/djed/outputs"}
    assert binds["/djed/env"] == ("ro", "/store/ab")
    assert binds["/djed/wheels/cd"] == ("ro", "/store/cd")
    assert binds["/djed/bin/uv"] == ("ro", "/opt/uv")


def test_the_shared_cache_and_the_outputs_lie_under_one_bind() -> None:
    job = Job(kind="build", command=(At(place="cache"), At(place="outputs")), cache="shared")
    told = _order(job, BWRAP)
    assert told["command"] == ["/djed/packages/uv", "/djed/packages/staging/djed-j-1"]
    binds = _binds(told)
    assert binds["/djed/packages"] == ("rw", "/data/packages")
    assert "/djed/outputs" not in binds
    assert told["directories"][1] == "/data/packages/staging/djed-j-1"


def test_a_private_cache_is_its_own_and_counts_against_its_disk() -> None:
    told = _order(Job(kind="wheel", command=(At(place="cache"),), cache="private"), BWRAP)
    assert _binds(told)["/djed/cache"] == ("rw", "/data/attempts/djed-j-1/cache")
    assert "/data/attempts/djed-j-1/cache" in told["directories"]


def test_an_interpreter_brings_its_own_folder_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "py/bin").mkdir(parents=True)
    python = tmp_path / "py/bin/python3"
    python.touch()
    told = _order(Job(kind="run", command=(At(place="python"),), python=str(python)), BWRAP)
    assert told["command"] == [str(python)]
    assert _binds(told)[str(tmp_path / "py")] == ("ro", str(tmp_path / "py"))


def test_the_system_interpreter_needs_no_bind() -> None:
    binds = _binds(_order(Job(kind="run", command=("x",), python="/usr/bin/env"), BWRAP))
    assert [target for target in binds if target == "/usr"] == ["/usr"]


@pytest.mark.parametrize(
    "python", [Path.home() / "bin/python-none", Path("/bin-none/python-none"), Path("/data/bin/python-none")]
)
def test_an_interpreter_whose_folder_holds_secrets_is_refused(python: Path) -> None:
    with pytest.raises(RefusedError, match="cannot be shown"):
        _order(Job(kind="run", command=("x",), python=str(python)), BWRAP)


def test_uv_configuration_reaches_builds_alone(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir()
    config = tmp_path / "uv/uv.toml"
    config.write_text("")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "UV_INDEX": "https://index.example/simple"}
    build = _order(Job(kind="lock", command=("x",), network=True), BWRAP, environ)
    assert _binds(build)["/djed/uv.toml"] == ("ro", str(config))
    assert build["environ"]["UV_CONFIG_FILE"] == "/djed/uv.toml"
    run = _order(Job(kind="run", command=("x",), network=True), BWRAP, environ)
    assert "UV_CONFIG_FILE" not in run["environ"]
    assert "UV_INDEX" not in run["environ"]


def test_certificates_are_bound_where_their_variable_says(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    told = _order(Job(kind="run", command=("x",), network=True), BWRAP, {"SSL_CERT_FILE": str(bundle)})
    assert _binds(told)[str(bundle)] == ("ro", str(bundle))


def test_a_small_memory_limit_bounds_tmp_too() -> None:
    wrap = _order(Job(kind="run", command=("x",), limits=Limits(memory=5000)), BWRAP)["wrap"]
    assert wrap[wrap.index("--size") + 1] == "5000"


def test_a_gpu_brings_its_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.run.gpu._DEVICES", tmp_path)
    job = Job(kind="run", command=("x",), limits=Limits(gpu=2))
    with pytest.raises(MissingPartError, match="GPU"):
        _order(job, BWRAP)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "kvm"):
        (tmp_path / name).touch()
    told = _order(job, BWRAP)
    devices = {target for target, (mode, _) in _binds(told).items() if mode == "dev"}
    assert devices == {str(tmp_path / name) for name in ("nvidia0", "nvidia1", "nvidiactl")}
    assert told["environ"]["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_job_in_an_image_gets_the_machines_driver(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr("djed.run.gpu._DEVICES", tmp_path)
    monkeypatch.setattr("djed.run.gpu._FOLDERS", (str(tmp_path / "none"), str(tmp_path / "lib")))
    variables = {"LD_LIBRARY_PATH": "/opt/lib"}
    with pytest.raises(MissingPartError, match="driver"):
        _inside(image, limits=Limits(gpu=1))
    for name in ("libcuda.so.535.1", "libnvidia-ml.so.535.1", "libc.so.6", "libcurl.so.4"):
        (tmp_path / "lib" / name).touch()
    (tmp_path / "lib/libcuda.so.1").symlink_to("libcuda.so.535.1")
    told = _inside(image, limits=Limits(gpu=1), variables=variables)
    driver = {
        target: source for target, (_, source) in _binds(told).items() if target.startswith("/djed/driver/")
    }
    assert driver == {
        "/djed/driver/libcuda.so.1": str(tmp_path / "lib/libcuda.so.535.1"),
        "/djed/driver/libcuda.so.535.1": str(tmp_path / "lib/libcuda.so.535.1"),
        "/djed/driver/libnvidia-ml.so.535.1": str(tmp_path / "lib/libnvidia-ml.so.535.1"),
    }
    assert told["environ"]["LD_LIBRARY_PATH"] == "/djed/driver:/opt/lib"
    assert _inside(image, variables=variables)["environ"]["LD_LIBRARY_PATH"] == "/opt/lib"


def test_without_a_gpu_asked_for_none_is_seen() -> None:
    assert "--dev-bind" not in _order(Job(kind="run", command=("x",)), BWRAP)["wrap"]


def test_variables_of_the_job_go_before_ours() -> None:
    told = _order(Job(kind="run", command=("x",), variables={"LANG": "de_DE.UTF-8"}), PROCESS)
    assert told["environ"]["LANG"] == "de_DE.UTF-8"


# --- Inside an image -----------------------------------------------------------------------------------------------------------------


class Images(Artifacts):
    """An image whose root lies in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def artifact(self, digest: str) -> Path:
        return self.folder if digest == "sha256:image" else super().artifact(digest)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image/root").mkdir(parents=True)
    prepare(tmp_path / "image/root")
    return tmp_path / "image"


def _inside(
    image: Path, environ: Mapping[str, str] | None = None, sandbox: Sandbox = BWRAP, **more: Any
) -> dict[str, Any]:
    given = {"kind": "run", "command": ("x",), "inside": True, "image": "sha256:image", **more}
    return _order(Job(**given), sandbox, environ, Images(image))


def test_a_job_in_an_image_has_its_root_and_the_places(image: Path) -> None:
    python = "/opt/py/bin/python3.11"
    command = (At(place="python"), At(place="image"), At(place="env"), At(place="uv"), At(place="work"))
    told = _inside(image, command=command, python=python, environment="sha256:ee")
    assert told["command"] == [python, "/djed/image", "/djed/env", "/djed/bin/uv", "/djed/work"]
    binds = _binds(told)
    assert binds["/"] == ("ro", str(image / "root"))
    assert binds["/djed/image"] == ("ro", str(image))
    assert binds["/djed/env"] == ("ro", "/store/ee")
    assert not {"/usr", "/opt/py"} & binds.keys(), "the interpreter is the image's"
    assert told["environ"]["PATH"].split(":")[:2] == ["/djed/env/bin", "/opt/py/bin"]


def test_the_environment_leads_the_path_of_the_image(image: Path) -> None:
    variables = {"PATH": "/opt/conda/bin:/usr/bin"}
    assert _inside(image, variables=variables)["environ"]["PATH"] == "/opt/conda/bin:/usr/bin"
    told = _inside(image, variables=variables, environment="sha256:ee")
    assert told["environ"]["PATH"] == "/djed/env/bin:/opt/conda/bin:/usr/bin"


def test_a_job_on_the_machine_may_still_set_its_path() -> None:
    job = Job(kind="run", command=("x",), variables={"PATH": "/mine"}, environment="sha256:ee")
    assert _order(job, BWRAP)["environ"]["PATH"] == "/mine"


def test_a_job_inside_no_image_is_a_mistake() -> None:
    with pytest.raises(RunnerError, match="names none"):
        _order(Job(kind="run", command=("x",), inside=True), BWRAP)


@pytest.mark.parametrize("path", ["tmp", "djed", "etc/hosts"])
def test_a_root_that_leads_out_is_refused(image: Path, path: str) -> None:
    (image / "root" / path).rename(image / "moved")
    (image / "root" / path).symlink_to("/oldroot/root")
    with pytest.raises(UnsafeError, match=path):
        _inside(image)


def test_an_image_that_was_not_unpacked_is_refused(image: Path) -> None:
    (image / "root").rename(image / "other")
    with pytest.raises(UnsafeError, match="no root"):
        _inside(image)


def test_an_image_that_is_only_read_needs_no_root(image: Path) -> None:
    (image / "root").rename(image / "other")
    told = _inside(image, inside=False, command=(At(place="image", path="index.json"),))
    assert told["command"] == ["/djed/image/index.json"]
    assert _binds(told)["/usr"] == ("ro", "/usr")


def test_certificates_and_wheel_folders_lie_where_no_image_has_anything(image: Path, tmp_path: Path) -> None:
    for name in ("bundle.pem", "certs", "wheels"):
        (tmp_path / name).mkdir()
    (tmp_path / "bundle.pem").rmdir()
    (tmp_path / "bundle.pem").touch()
    environ = {
        "SSL_CERT_FILE": str(tmp_path / "bundle.pem"),
        "SSL_CERT_DIR": f"{tmp_path}/certs:/nowhere",
        "UV_FIND_LINKS": f"{tmp_path}/wheels,https://index.example/links",
    }
    told = _inside(image, environ, network=True, kind="build")
    assert told["environ"]["SSL_CERT_FILE"] == "/djed/local/0"
    assert told["environ"]["SSL_CERT_DIR"] == "/djed/local/1:/nowhere"
    assert told["environ"]["UV_FIND_LINKS"] == "/djed/local/2,https://index.example/links"
    binds = _binds(told)
    assert [binds[f"/djed/local/{number}"] for number in range(3)] == [
        ("ro", str(tmp_path / name)) for name in ("bundle.pem", "certs", "wheels")
    ]


def test_the_machines_certificates_are_trusted_where_none_are_named(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    monkeypatch.setattr(passing, "_BUNDLES", ("/nowhere.pem", str(bundle)))
    assert "SSL_CERT_FILE" not in _inside(image, network=True)["environ"], "there are none"
    bundle.touch()
    told = _inside(image, {"SSL_CERT_FILE": "/gone.pem"}, network=True)
    assert told["environ"]["SSL_CERT_FILE"] == "/djed/local/0"
    assert _binds(told)["/djed/local/0"] == ("ro", str(bundle))
    own = _inside(image, network=True, variables={"SSL_CERT_FILE": "/etc/own.pem"})
    assert own["environ"]["SSL_CERT_FILE"] == "/etc/own.pem"
    assert "SSL_CERT_FILE" not in _inside(image)["environ"], "no network, no certificates"


# --- Our own code, sources, engines --------------------------------------------------------------------------------------------------


def test_our_own_code_runs_by_our_own_interpreter() -> None:
    job = Job(
        kind="base", command=(At(place="interpreter"), At(place="djed", path="build/inside")), tools=True
    )
    real = Path(sys.executable).resolve()
    told = _order(job, BWRAP)
    assert told["command"] == [str(real), "/djed/lib/djed/build/inside"]
    binds = _binds(told)
    assert binds["/djed/lib/djed"][0] == "ro"
    assert Path(binds["/djed/lib/djed"][1], "build/inside/__main__.py").exists()
    prefix = str(real.parent.parent)
    assert prefix.startswith("/usr") or binds[prefix] == ("ro", prefix)
    plain = _order(job, PROCESS)
    assert Path(plain["command"][1], "__main__.py").exists()


def test_our_code_is_there_in_an_image_too_but_not_our_interpreter(image: Path) -> None:
    assert _inside(image, tools=True, command=(At(place="djed"),))["command"] == ["/djed/lib/djed"]
    with pytest.raises(RunnerError, match="interpreter"):
        _inside(image, tools=True, command=(At(place="interpreter"),))


def test_a_source_is_read_only_and_real(tmp_path: Path) -> None:
    (tmp_path / "base.tar").touch()
    (tmp_path / "link.tar").symlink_to("base.tar")
    job = Job(kind="base", command=(At(place="source"),), source=str(tmp_path / "link.tar"))
    told = _order(job, BWRAP)
    assert told["command"] == ["/djed/source"]
    assert _binds(told)["/djed/source"] == ("ro", str(tmp_path / "base.tar"))
    assert _order(job, PROCESS)["command"] == [str(tmp_path / "base.tar")]


@pytest.mark.parametrize(("source", "error"), [("/nowhere/base.tar", NotFoundError), ("/", RefusedError)])
def test_a_source_that_is_gone_or_holds_our_data_is_refused(source: str, error: type[DjedError]) -> None:
    with pytest.raises(error):
        _order(Job(kind="base", command=("x",), source=source), BWRAP)


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
    told = _order(job, PROCESS, environ, engines=(DOCKER, PODMAN))
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
    assert _order(Job(kind="base", command=("x",), engine=True), BWRAP, engines=(DOCKER,))["wrap"] == []


def test_without_an_engine_only_those_that_build_are_refused() -> None:
    told = _order(Job(kind="base", command=("x",), engine=True), PROCESS)
    assert "DJED_ENGINE" not in told["environ"]
    with pytest.raises(MissingPartError, match="engine"):
        _order(Job(kind="native", command=("x",), engine=True), PROCESS, engines=(DOCKER,))


def test_nothing_is_loaded_into_an_engine() -> None:
    with pytest.raises(RunnerError, match="LD_PRELOAD"):
        _order(Job(kind="base", command=("x",), engine=True, variables={"LD_PRELOAD": "/x.so"}), PROCESS)


def test_a_table_says_what_makes_a_level() -> None:
    def make(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
        assert (sandbox.level, inside.name, etc) == ("container", "djed-j-1", Path("/data/etc"))
        assert inside.variables["WORD"] == "x"
        return Wrap(argv=("/engine", "run"), environ={"A": "b"}, after=(("/engine", "rm"),))

    job = Job(kind="run", command=("true", At(place="work")), variables={"WORD": "x"}, secrets=("key",))
    told = _order(job, Sandbox(level="container", tool="engine 1"), wraps={"container": make})
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
