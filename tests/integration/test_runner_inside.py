"""Jobs in the root of an image: what they see, what they cannot reach, and roots that try to lead out."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config
from djed.errors import RefusedError, UnsafeError
from djed.model.job import At, Handle, InputFile, Limits
from djed.run.local import LocalRunner
from djed.toolbox import rootfs
from tests.support.images import debian_root, tiny_root
from tests.support.inside import Bench

pytestmark = pytest.mark.needs("bwrap")

_PYTHON = "/usr/bin/python3.11"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of a shell; nobody changes it."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "root").mkdir()
    rootfs.prepare(tiny_root(folder / "root"))
    (folder / "index.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An image of a Debian with a Python; nobody changes it."""
    folder = tmp_path_factory.mktemp("debian")
    with tarfile.open(debian_root(("python3", "ca-certificates"))) as tar:
        kept = [member for member in tar if not member.isdev()]
        tar.extractall(folder / "root", kept, filter="tar")
    rootfs.prepare(folder / "root")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def bench(data: Path, tiny: Path) -> Bench:
    return Bench(data, tiny)


@pytest.fixture
def python(data: Path, debian: Path) -> Bench:
    return Bench(data, debian)


@pytest.fixture
def own(data: Path) -> Bench:
    """A bench whose image the test may change."""
    bench = Bench(data)
    bench.root.mkdir(parents=True)
    rootfs.prepare(tiny_root(bench.root))
    return bench


# --- What a job sees -----------------------------------------------------------------------------------------------------------------


def test_it_sees_the_image_and_not_the_machine(bench: Bench) -> None:
    assert bench.shell("cat /etc/os-release").startswith("ID=tiny\n")
    marker = Path("/usr/bin/env").resolve()
    assert marker.exists()
    listed = bench.shell("ls / /usr /usr/bin /root /home /djed 2>/dev/null || true").split()
    assert "env" in listed
    assert not {"share", "python3", "gcc", "perl", Path.home().name + "/.cache", "store"} & set(listed)
    assert bench.shell('ls "$1" 2>/dev/null || echo hidden', str(bench.data)) == "hidden\n"
    assert bench.shell('ls "$1" 2>/dev/null || echo hidden', str(Path(__file__).parent)) == "hidden\n"


def test_it_writes_in_its_own_folders_and_nowhere_else(bench: Bench) -> None:
    places = "/ /etc /usr/bin /djed /djed/image /run /sys /dev /proc /root /var"
    script = f'for place in {places}; do touch "$place/x" 2>/dev/null && echo "wrote $place"; done'
    assert bench.shell(f"{script}; touch /etc/passwd 2>/dev/null && echo passwd; true") == ""
    script = 'for place in /tmp /var/tmp /dev/shm "$HOME" "$DJED_OUTPUTS"; do echo x > "$place/x" && cat "$place/x"; done'
    assert bench.shell(script) == "x\n" * 5
    assert not (bench.root / "tmp/x").exists()
    assert (bench.last / "outputs/x").read_text() == "x\n"


def test_it_is_nobody_with_names_of_ours_and_a_clean_environment(bench: Bench) -> None:
    assert bench.shell("id -u; id -g").split() == ["65534", "65534"]
    assert "nobody:/djed/work" in bench.shell("cat /etc/passwd")
    names = {line.partition("=")[0] for line in bench.shell("env").splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "HOME", "TMPDIR", "LANG", "DJED_OUTPUTS"}


def test_kernel_and_devices_are_there_and_bare(bench: Bench) -> None:
    assert bench.shell("cat /proc/self/comm") == "cat\n"
    assert "null" in bench.shell("ls /dev").split()
    assert bench.shell("ls /sys /sys/devices").split() == ["/sys:", "devices", "/sys/devices:", "system"]
    assert not {"vda", "sda", "nvidia0", "kvm", "mem"} & set(bench.shell("ls /dev").split())


@pytest.mark.parametrize("kind", ["lock", "wheel", "build", "run"])
def test_a_job_of_every_kind_runs_inside(bench: Bench, kind: str) -> None:
    cache = {"lock": "shared", "wheel": "private", "build": "shared"}.get(kind, "none")
    if cache == "shared":
        (bench.data / "packages/uv").mkdir(parents=True)
    more: dict[str, Any] = {"kind": kind, "cache": cache, "network": kind != "run"}
    out = bench.shell(
        'cat /etc/os-release; echo made > "$DJED_OUTPUTS/made"; cat input/file',
        files=(InputFile(path="input/file", text="in"),),
        **more,
    )
    assert out.startswith("ID=tiny")
    assert out.endswith("in")
    assert (bench.last / "outputs/made").read_text() == "made\n"
    if cache != "none":
        assert bench.shell('echo x > "$1/x"; cat "$1/x"', At(place="cache"), **more) == "x\n"


def test_the_shared_cache_links_into_outputs(bench: Bench) -> None:
    (bench.data / "packages/uv").mkdir(parents=True)
    (bench.data / "packages/uv/file").write_text("content")
    bench.shell(
        'ln "$1/file" "$2/linked"', At(place="cache"), At(place="outputs"), kind="build", cache="shared"
    )
    assert (bench.last / "outputs/linked").samefile(bench.data / "packages/uv/file")


def test_image_source_and_wheels_are_readable(bench: Bench, tmp_path: Path) -> None:
    (bench.store.root / "aa").mkdir()
    (bench.store.root / "aa/x.whl").write_text("wheel")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/base").write_text("base")
    command = (
        At(place="image", path="index.json"),
        At(place="source", path="base"),
        At(place="wheels", path="aa/x.whl"),
    )
    script = 'cat "$@"; touch "$1" "$2" "$3" 2>/dev/null || echo " closed"'
    assert (
        bench.shell(script, *command, source=str(tmp_path / "folder"), wheels=("sha256:aa",))
        == "{}basewheel closed\n"
    )


def test_secrets_are_files_in_an_image_too(bench: Bench) -> None:
    assert (
        bench.shell('cat "$DJED_SECRETS/key" | head -c 3; ls "$DJED_SECRETS"', secrets=("key",)) == "thekey\n"
    )


# --- Network -------------------------------------------------------------------------------------------------------------------------


def test_there_is_no_network_unless_asked_for(bench: Bench) -> None:
    assert bench.shell("cat /etc/hosts").startswith("127.0.0.1 localhost")
    interfaces = bench.shell("cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert bench.shell("cat /etc/resolv.conf") == ""


def test_with_network_it_finds_names_and_certificates_as_the_machine_does(bench: Bench) -> None:
    for name in ("resolv.conf", "hosts"):
        assert bench.shell(f"cat /etc/{name}", network=True) == Path("/etc", name).read_text()
    here = Path("/proc/net/dev").read_text().count(":")
    assert bench.shell("cat /proc/net/dev", network=True).count(":") == here


# --- Python --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("mmdebstrap")
def test_the_image_tells_which_python_it_has_and_that_one_runs(python: Bench) -> None:
    found = rootfs.interpreters(python.root)
    assert [one.path for one in found] == [_PYTHON]
    python.run(At(place="python"), "-V", python=found[0].path)
    assert python.said() == f"Python {found[0].version}\n"
    assert rootfs.libc(python.root) == "glibc2.36"
    assert rootfs.package_manager(python.root) == "apt"
    assert rootfs.os_release(python.root)["VERSION_ID"] == "12"


@pytest.mark.needs("mmdebstrap", "uv", "index")
def test_an_environment_that_is_made_in_an_image_runs_there(python: Bench) -> None:
    (python.data / "packages/uv").mkdir(parents=True)
    script = (
        '"$1" venv --quiet --no-config --relocatable --python "$2" "$3/venv" && '
        '"$1" pip install --quiet --python "$3/venv/bin/python" iniconfig==2.0.0'
    )
    python.shell(
        script, At(place="uv"), At(place="python"), At(place="outputs"),
        kind="build", network=True, cache="shared", python=_PYTHON, variables={"UV_CACHE_DIR": At(place="cache")},
    )  # fmt: skip
    (python.last / "outputs/venv").rename(python.store.root / "env")
    code = "import sys, iniconfig; print(sys.prefix, sys.base_prefix, iniconfig.__file__)"
    result = python.run("python", "-c", code, environment="sha256:env", variables={"PATH": "/usr/bin:/bin"})
    assert result.exit_code == 0, python.said("stderr")
    prefix, base, module = python.said().split()
    assert (prefix, base) == ("/djed/env", "/usr")
    assert module.startswith("/djed/env/lib/python3.11/site-packages/")
    python.run("python", "-c", "open('/djed/env/x', 'w')", environment="sha256:env")
    assert "Read-only file system" in python.said("stderr")


# --- Limits and ends -----------------------------------------------------------------------------------------------------------------


def test_usage_and_exit_are_told_as_everywhere(bench: Bench) -> None:
    work = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; exit 7"
    result = bench.run("/bin/sh", "-c", work)
    assert result.exit_code == 7
    assert result.usage["ru_utime"] + result.usage["ru_stime"] > 0.02
    assert bench.run("/bin/sh", "-c", "kill -9 $$").signal == 9
    assert bench.run("/bin/sh", "-c", "sleep 60", limits=Limits(timeout=0.3)).timed_out


@pytest.mark.needs("cgroup")
def test_memory_is_limited_in_an_image(bench: Bench) -> None:
    script = 'x=xxxxxxxxxxxxxxxx; while :; do x="$x$x"; done'
    result = bench.run("/bin/sh", "-c", script, limits=Limits(memory=64 * 2**20, timeout=30))
    assert result.out_of_memory


def test_disk_is_limited_in_an_image(bench: Bench) -> None:
    script = 'while :; do cat /usr/bin/* >> "$DJED_OUTPUTS/big"; done'
    assert bench.run("/bin/sh", "-c", script, limits=Limits(disk=4 * 2**20, timeout=30)).disk_exceeded


def test_a_program_that_the_image_lacks_is_named(bench: Bench) -> None:
    assert bench.run("gcc", "-v").error == "program not found: gcc"
    assert bench.run(_PYTHON, "-V").error == f"program not found: {_PYTHON}"


def test_nothing_is_left_mounted_or_made(bench: Bench) -> None:
    before = sorted(str(path) for path in bench.root.rglob("*"))
    bench.shell("touch /tmp/x; echo x > $DJED_OUTPUTS/x")
    assert sorted(str(path) for path in bench.root.rglob("*")) == before
    assert str(bench.root.resolve()) not in Path("/proc/self/mountinfo").read_text()
    bench.runner.release(Handle(name=bench.last.name, target="local"))
    assert not bench.last.exists()


# --- Hostile roots -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the machine that no image may reach, even while its sandbox is set up: the machine lies at /oldroot then."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    return folder


@pytest.mark.parametrize("place", ["djed", "tmp", "var/tmp", "run", "sys", "proc", "dev"])
@pytest.mark.parametrize("way", ["{}", "/oldroot{}", "../oldroot{}", "../../../../..{}"])
def test_a_mount_point_that_leads_out_is_never_mounted_through(
    own: Bench, outside: Path, place: str, way: str
) -> None:
    point = own.root / place
    shutil.rmtree(point)
    point.symlink_to(way.format(outside))
    with pytest.raises(UnsafeError, match=place):
        own.run("/bin/sh", "-c", "touch /djed/work/x /tmp/x")
    assert [file.name for file in outside.iterdir()] == ["kept"]
    rootfs.prepare(own.root)
    own.shell("touch /djed/work/x /tmp/x /var/tmp/x")
    assert [file.name for file in outside.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["passwd", "group", "hosts", "resolv.conf"])
def test_a_file_that_leads_out_is_neither_made_nor_bound_through(
    own: Bench, outside: Path, name: str
) -> None:
    place = own.root / "etc" / name
    place.unlink()
    place.symlink_to(f"/oldroot{outside}/made")
    with pytest.raises(UnsafeError, match=name):
        own.run("/bin/sh", "-c", "true")
    assert [file.name for file in outside.iterdir()] == ["kept"]
    rootfs.prepare(own.root)
    own.shell("true")
    assert [file.name for file in outside.iterdir()] == ["kept"]


@pytest.mark.parametrize("folder", ["etc", "var"])
def test_a_folder_that_leads_out_makes_the_image_useless(own: Bench, outside: Path, folder: str) -> None:
    shutil.rmtree(own.root / folder)
    (own.root / folder).symlink_to(f"/oldroot{outside}")
    with pytest.raises(UnsafeError):
        rootfs.prepare(own.root)
    with pytest.raises(UnsafeError):
        own.run("/bin/sh", "-c", "true")
    assert [file.name for file in outside.iterdir()] == ["kept"]


def test_links_in_an_image_mean_places_in_the_image(own: Bench, outside: Path) -> None:
    (own.root / "way").symlink_to(outside)
    (own.root / "release").symlink_to("/etc/os-release")
    assert own.shell("cat /release; cat /way/kept 2>/dev/null || echo nothing").endswith("nothing\n")


def test_a_program_with_rights_of_its_own_gains_none(own: Bench) -> None:
    program = own.root / "usr/bin/id"
    program.chmod(0o6755)
    assert stat.S_IMODE(program.stat().st_mode) == 0o6755
    assert own.shell("id -u; id -ru").split() == ["65534", "65534"]


@pytest.mark.needs("root")
def test_a_device_in_an_image_does_not_open(own: Bench) -> None:
    os.mknod(own.root / "disk", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert own.run("/bin/sh", "-c", "head -c 1 /disk").exit_code != 0
    assert "Permission denied" in own.said("stderr")


def test_without_a_sandbox_no_job_runs_in_an_image(data: Path, tiny: Path) -> None:
    bench = Bench(data, tiny)
    bench.runner = LocalRunner(bench.home, bench.store, config=Config(data=data), levels=("none", "process"))
    with pytest.raises(RefusedError, match="in an image"):
        bench.run("/bin/sh", "-c", "true")
    assert not bench.home.exists() or list(bench.home.iterdir()) == []


def test_our_own_code_reads_a_source_in_the_sandbox(data: Path, tmp_path: Path) -> None:
    bench = Bench(data)
    (tmp_path / "base").write_text("the base")
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1] + '/..'); import djed.toolbox.rootfs; "
        "print(pathlib.Path(sys.argv[2]).read_text())"
    )
    result = bench.run(
        At(place="interpreter"), "-I", "-S", "-c", code, At(place="djed"), At(place="source"),
        kind="base", inside=False, image=None, tools=True, source=str(tmp_path / "base"),
    )  # fmt: skip
    assert result.exit_code == 0, bench.said("stderr")
    assert bench.said() == "the base\n"


def test_what_an_engine_mounts_goes_with_its_job(data: Path) -> None:
    bench = Bench(data)
    script = (
        'mkdir m && mount -t tmpfs none m 2>/dev/null; echo "$HOME"; grep -c " $PWD/m " /proc/self/mountinfo'
    )
    bench.run("/bin/sh", "-c", script, kind="base", inside=False, image=None, engine=True)
    home, mounted = bench.said().split()
    assert home == os.environ["HOME"]
    assert mounted == ("1" if os.geteuid() == 0 else "0")
    listed = subprocess.run(
        ["cat", "/proc/self/mountinfo"], capture_output=True, text=True, check=True
    ).stdout
    assert str(bench.last) not in listed
    bench.runner.release(Handle(name=bench.last.name, target="local"))
    assert not bench.last.exists()
