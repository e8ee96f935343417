"""What the shim is told, for every kind of job."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.errors import MissingPartError, RefusedError, RunnerError, UnsafeError
from djed.model.job import At, Job, Limits
from djed.run import passing
from djed.toolbox.rootfs import prepare
from tests.support.orders import BWRAP, PROCESS, bound, inside, ordered


def test_without_a_sandbox_places_are_the_real_paths() -> None:
    job = Job(
        kind="run",
        command=(At(place="work"), At(place="outputs"), At(place="env"), At(place="uv")),
        environment="sha256:ab",
    )
    told = ordered(job, PROCESS)
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
    told = ordered(job, BWRAP)
    assert told["command"] == ["/djed/work", "/djed/env/bin/x"]
    binds = bound(told)
    assert {target for target, (mode, _) in binds.items() if mode != "ro"} == {"/djed/work", "/djed/outputs"}
    assert binds["/djed/env"] == ("ro", "/store/ab")
    assert binds["/djed/wheels/cd"] == ("ro", "/store/cd")
    assert binds["/djed/bin/uv"] == ("ro", "/opt/uv")


def test_the_shared_cache_and_the_outputs_lie_under_one_bind() -> None:
    job = Job(kind="build", command=(At(place="cache"), At(place="outputs")), cache="shared")
    told = ordered(job, BWRAP)
    assert told["command"] == ["/djed/packages/uv", "/djed/packages/staging/djed-j-1"]
    binds = bound(told)
    assert binds["/djed/packages"] == ("rw", "/data/packages")
    assert "/djed/outputs" not in binds
    assert told["directories"][1] == "/data/packages/staging/djed-j-1"


def test_a_private_cache_is_its_own_and_counts_against_its_disk() -> None:
    told = ordered(Job(kind="wheel", command=(At(place="cache"),), cache="private"), BWRAP)
    assert bound(told)["/djed/cache"] == ("rw", "/data/attempts/djed-j-1/cache")
    assert "/data/attempts/djed-j-1/cache" in told["directories"]


def test_an_interpreter_brings_its_own_folder_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "py/bin").mkdir(parents=True)
    python = tmp_path / "py/bin/python3"
    python.touch()
    told = ordered(Job(kind="run", command=(At(place="python"),), python=str(python)), BWRAP)
    assert told["command"] == [str(python)]
    assert bound(told)[str(tmp_path / "py")] == ("ro", str(tmp_path / "py"))


def test_the_system_interpreter_needs_no_bind() -> None:
    binds = bound(ordered(Job(kind="run", command=("x",), python="/usr/bin/env"), BWRAP))
    assert [target for target in binds if target == "/usr"] == ["/usr"]


@pytest.mark.parametrize(
    "python", [Path.home() / "bin/python-none", Path("/bin-none/python-none"), Path("/data/bin/python-none")]
)
def test_an_interpreter_whose_folder_holds_secrets_is_refused(python: Path) -> None:
    with pytest.raises(RefusedError, match="cannot be shown"):
        ordered(Job(kind="run", command=("x",), python=str(python)), BWRAP)


def test_uv_configuration_reaches_builds_alone(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir()
    config = tmp_path / "uv/uv.toml"
    config.write_text("")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "UV_INDEX": "https://index.example/simple"}
    build = ordered(Job(kind="lock", command=("x",), network=True), BWRAP, environ)
    assert bound(build)["/djed/uv.toml"] == ("ro", str(config))
    assert build["environ"]["UV_CONFIG_FILE"] == "/djed/uv.toml"
    run = ordered(Job(kind="run", command=("x",), network=True), BWRAP, environ)
    assert "UV_CONFIG_FILE" not in run["environ"]
    assert "UV_INDEX" not in run["environ"]


def test_certificates_are_bound_where_their_variable_says(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    told = ordered(Job(kind="run", command=("x",), network=True), BWRAP, {"SSL_CERT_FILE": str(bundle)})
    assert bound(told)[str(bundle)] == ("ro", str(bundle))


def test_a_small_memory_limit_bounds_tmp_too() -> None:
    wrap = ordered(Job(kind="run", command=("x",), limits=Limits(memory=5000)), BWRAP)["wrap"]
    assert wrap[wrap.index("--size") + 1] == "5000"


def test_a_gpu_brings_its_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("djed.run.gpu._DEVICES", tmp_path)
    job = Job(kind="run", command=("x",), limits=Limits(gpu=2))
    with pytest.raises(MissingPartError, match="GPU"):
        ordered(job, BWRAP)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "kvm"):
        (tmp_path / name).touch()
    told = ordered(job, BWRAP)
    devices = {target for target, (mode, _) in bound(told).items() if mode == "dev"}
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
        inside(image, limits=Limits(gpu=1))
    for name in ("libcuda.so.535.1", "libnvidia-ml.so.535.1", "libc.so.6", "libcurl.so.4"):
        (tmp_path / "lib" / name).touch()
    (tmp_path / "lib/libcuda.so.1").symlink_to("libcuda.so.535.1")
    told = inside(image, limits=Limits(gpu=1), variables=variables)
    driver = {
        target: source for target, (_, source) in bound(told).items() if target.startswith("/djed/driver/")
    }
    assert driver == {
        "/djed/driver/libcuda.so.1": str(tmp_path / "lib/libcuda.so.535.1"),
        "/djed/driver/libcuda.so.535.1": str(tmp_path / "lib/libcuda.so.535.1"),
        "/djed/driver/libnvidia-ml.so.535.1": str(tmp_path / "lib/libnvidia-ml.so.535.1"),
    }
    assert told["environ"]["LD_LIBRARY_PATH"] == "/djed/driver:/opt/lib"
    assert inside(image, variables=variables)["environ"]["LD_LIBRARY_PATH"] == "/opt/lib"


def test_without_a_gpu_asked_for_none_is_seen() -> None:
    assert "--dev-bind" not in ordered(Job(kind="run", command=("x",)), BWRAP)["wrap"]


def test_variables_of_the_job_go_before_ours() -> None:
    told = ordered(Job(kind="run", command=("x",), variables={"LANG": "de_DE.UTF-8"}), PROCESS)
    assert told["environ"]["LANG"] == "de_DE.UTF-8"


# --- Inside an image -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "image/root").mkdir(parents=True)
    prepare(tmp_path / "image/root")
    return tmp_path / "image"


def test_a_job_in_an_image_has_its_root_and_the_places(image: Path) -> None:
    python = "/opt/py/bin/python3.11"
    command = (At(place="python"), At(place="image"), At(place="env"), At(place="uv"), At(place="work"))
    told = inside(image, command=command, python=python, environment="sha256:ee")
    assert told["command"] == [python, "/djed/image", "/djed/env", "/djed/bin/uv", "/djed/work"]
    binds = bound(told)
    assert binds["/"] == ("ro", str(image / "root"))
    assert binds["/djed/image"] == ("ro", str(image))
    assert binds["/djed/env"] == ("ro", "/store/ee")
    assert not {"/usr", "/opt/py"} & binds.keys(), "the interpreter is the image's"
    assert told["environ"]["PATH"].split(":")[:2] == ["/djed/env/bin", "/opt/py/bin"]


def test_the_environment_leads_the_path_of_the_image(image: Path) -> None:
    variables = {"PATH": "/opt/conda/bin:/usr/bin"}
    assert inside(image, variables=variables)["environ"]["PATH"] == "/opt/conda/bin:/usr/bin"
    told = inside(image, variables=variables, environment="sha256:ee")
    assert told["environ"]["PATH"] == "/djed/env/bin:/opt/conda/bin:/usr/bin"


def test_a_job_on_the_machine_may_still_set_its_path() -> None:
    job = Job(kind="run", command=("x",), variables={"PATH": "/mine"}, environment="sha256:ee")
    assert ordered(job, BWRAP)["environ"]["PATH"] == "/mine"


def test_a_job_inside_no_image_is_a_mistake() -> None:
    with pytest.raises(RunnerError, match="names none"):
        ordered(Job(kind="run", command=("x",), inside=True), BWRAP)


@pytest.mark.parametrize("path", ["tmp", "djed", "etc/hosts"])
def test_a_root_that_leads_out_is_refused(image: Path, path: str) -> None:
    (image / "root" / path).rename(image / "moved")
    (image / "root" / path).symlink_to("/oldroot/root")
    with pytest.raises(UnsafeError, match=path):
        inside(image)


def test_an_image_that_was_not_unpacked_is_refused(image: Path) -> None:
    (image / "root").rename(image / "other")
    with pytest.raises(UnsafeError, match="no root"):
        inside(image)


def test_an_image_that_is_only_read_needs_no_root(image: Path) -> None:
    (image / "root").rename(image / "other")
    told = inside(image, inside=False, command=(At(place="image", path="index.json"),))
    assert told["command"] == ["/djed/image/index.json"]
    assert bound(told)["/usr"] == ("ro", "/usr")


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
    told = inside(image, environ, network=True, kind="build")
    assert told["environ"]["SSL_CERT_FILE"] == "/djed/local/0"
    assert told["environ"]["SSL_CERT_DIR"] == "/djed/local/1:/nowhere"
    assert told["environ"]["UV_FIND_LINKS"] == "/djed/local/2,https://index.example/links"
    binds = bound(told)
    assert [binds[f"/djed/local/{number}"] for number in range(3)] == [
        ("ro", str(tmp_path / name)) for name in ("bundle.pem", "certs", "wheels")
    ]


def test_the_machines_certificates_are_trusted_where_none_are_named(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    monkeypatch.setattr(passing, "_BUNDLES", ("/nowhere.pem", str(bundle)))
    assert "SSL_CERT_FILE" not in inside(image, network=True)["environ"], "there are none"
    bundle.touch()
    told = inside(image, {"SSL_CERT_FILE": "/gone.pem"}, network=True)
    assert told["environ"]["SSL_CERT_FILE"] == "/djed/local/0"
    assert bound(told)["/djed/local/0"] == ("ro", str(bundle))
    own = inside(image, network=True, variables={"SSL_CERT_FILE": "/etc/own.pem"})
    assert own["environ"]["SSL_CERT_FILE"] == "/etc/own.pem"
    assert "SSL_CERT_FILE" not in inside(image)["environ"], "no network, no certificates"
