"""What the shim is told, for every kind of job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from djed.errors import MissingPartError, RefusedError
from djed.model.job import At, Attempt, Job, Limits
from djed.run.order import Site, order
from djed.run.sandbox import Sandbox

BWRAP = Sandbox(level="bwrap", tool="bubblewrap 1.0", path="/usr/bin/bwrap")
PROCESS = Sandbox(level="process")


class Artifacts:
    def blob(self, digest: str) -> Path:
        raise NotImplementedError

    def artifact(self, digest: str) -> Path:
        return Path("/store") / digest.removeprefix("sha256:")

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotImplementedError


def _order(job: Job, sandbox: Sandbox, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    site = Site(
        data=Path("/data"),
        packages=Path("/data/packages"),
        etc=Path("/data/etc"),
        node="local/n",
        uv="/opt/uv",
        environ=environ or {},
    )
    attempt = Attempt(name="djed-j-1", job_id="j", number=1, job=job, node="local/n", cpus=(1,))
    return order(attempt, Path("/data/attempts/djed-j-1"), sandbox, site=site, materials=Artifacts())


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
    monkeypatch.setattr("djed.run.order._DEVICES", tmp_path)
    job = Job(kind="run", command=("x",), limits=Limits(gpu=2))
    with pytest.raises(MissingPartError, match="GPU"):
        _order(job, BWRAP)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "kvm"):
        (tmp_path / name).touch()
    told = _order(job, BWRAP)
    devices = {target for target, (mode, _) in _binds(told).items() if mode == "dev"}
    assert devices == {str(tmp_path / name) for name in ("nvidia0", "nvidia1", "nvidiactl")}
    assert told["environ"]["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_without_a_gpu_asked_for_none_is_seen() -> None:
    assert "--dev-bind" not in _order(Job(kind="run", command=("x",)), BWRAP)["wrap"]


def test_variables_of_the_job_go_before_ours() -> None:
    told = _order(Job(kind="run", command=("x",), variables={"LANG": "de_DE.UTF-8"}), PROCESS)
    assert told["environ"]["LANG"] == "de_DE.UTF-8"
