"""Bubblewrap's arguments, and the choice of a level."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from djed.errors import RefusedError, ToolError
from djed.model.job import Job
from djed.model.request import SandboxLevel
from djed.run.bubblewrap import bubblewrap, probe, wrap
from djed.run.sandbox import Bind, Inside, Sandbox, choose
from djed.toolbox import process

PRESENT = (
    Sandbox(level="none"),
    Sandbox(level="process"),
    Sandbox(level="bwrap", tool="bubblewrap 0.8.0", path="/usr/bin/bwrap"),
)


def _argv(**given: object) -> list[str]:
    return bubblewrap(PRESENT[-1], Inside(**{"binds": (), **given}), Path("/own"))  # type: ignore[arg-type]


def _pairs(argv: list[str]) -> set[tuple[str, ...]]:
    return {tuple(argv[index : index + 3]) for index in range(len(argv) - 2)}


def test_everything_is_unshared_and_dropped() -> None:
    argv = _argv()
    assert {"--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--clearenv"} <= set(
        argv
    )
    assert ("--cap-drop", "ALL") in {pair[:2] for pair in _pairs(argv)}
    assert "--share-net" not in argv


def test_only_its_binds_are_writable() -> None:
    binds = (Bind(source="/a", target="/b", writable=True), Bind(source="/c", target="/d"))
    argv = _argv(binds=binds)
    assert [argv[index + 1 : index + 3] for index, word in enumerate(argv) if word == "--bind"] == [
        ["/a", "/b"]
    ]
    assert ("--ro-bind", "/c", "/d") in _pairs(argv)
    assert argv.index("/b") < argv.index("--remount-ro"), (
        "places for binds are made before the root is closed"
    )


def test_the_network_brings_its_files_and_nothing_else_does() -> None:
    assert "--share-net" in _argv(network=True)
    assert "/etc/nsswitch.conf" not in _argv()
    assert ("--ro-bind", "/own/hosts", "/etc/hosts") in _pairs(_argv())


@pytest.mark.parametrize("secret", ["/etc/shadow", "/etc/ssl", "/etc", "/root", "/home", "/var", "/"])
def test_nothing_with_secrets_is_bound(secret: str) -> None:
    argv = _argv(network=True)
    bound = {
        argv[index + 1]
        for index, word in enumerate(argv)
        if word in {"--ro-bind", "--bind", "--dev-bind", "--ro-bind-try"}
    }
    assert secret not in bound


@pytest.mark.parametrize(
    ("version", "recent"),
    [("0.4.1", False), ("0.7.0", False), ("0.8.0", True), ("0.11.0", True), ("1.0", True)],
)
def test_an_older_tool_is_not_asked_for_what_it_lacks(version: str, recent: bool) -> None:
    sandbox = Sandbox(level="bwrap", tool=f"bubblewrap {version}", path="/usr/bin/bwrap")
    argv = bubblewrap(sandbox, Inside(binds=()), Path("/own"))
    assert ("--disable-userns" in argv, "--size" in argv) == (recent, recent)
    assert "--unshare-all" in argv


def test_variables_reach_the_command_alone() -> None:
    argv = _argv(variables={"LD_PRELOAD": "/x.so"})
    assert ("--setenv", "LD_PRELOAD", "/x.so") in _pairs(argv)


def test_an_image_is_the_root_and_nothing_of_the_machine_is_seen() -> None:
    argv = _argv(root="/store/image/root", network=True)
    bound = {
        argv[index + 2]: argv[index + 1]
        for index, word in enumerate(argv)
        if word in {"--ro-bind", "--bind", "--ro-bind-try"}
    }
    assert bound["/"] == "/store/image/root"
    machine = {source for source in bound.values() if not source.startswith(("/store", "/own"))}
    assert machine <= {
        "/sys/devices/system",
        os.path.realpath("/etc/resolv.conf"),
        os.path.realpath("/etc/hosts"),
    }
    assert "--symlink" not in argv


def test_what_is_mounted_over_an_image_is_empty_and_closed() -> None:
    argv = _argv(root="/r", binds=(Bind(source="/a", target="/djed/work", writable=True),))
    pairs = _pairs(argv)
    for folder in ("/run", "/sys", "/djed"):
        assert ("--tmpfs", folder) in {pair[:2] for pair in pairs}
        assert argv.index("/djed/work") < max(index for index, word in enumerate(argv) if word == folder)
        assert ("--remount-ro", folder) in {pair[:2] for pair in pairs}
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        assert ("1073741824", "--tmpfs", folder) in pairs


def test_an_image_without_network_has_hosts_of_ours() -> None:
    pairs = _pairs(_argv(root="/r"))
    assert ("--ro-bind", "/own/hosts", "/etc/hosts") in pairs
    assert ("--ro-bind", "/own/passwd", "/etc/passwd") in pairs


def test_the_wrap_stands_right_before_the_command() -> None:
    made = wrap(PRESENT[-1], Inside(binds=()), Path("/own"))
    assert (made.argv[0], made.argv[-1], made.speaks, made.after) == ("/usr/bin/bwrap", "--", "bwrap", ())


@pytest.mark.parametrize("root", [None, "/r"])
def test_files_of_secrets_come_after_what_they_lie_in_and_before_it_is_closed(root: str | None) -> None:
    variables = {"A": "--remount-ro", "B": "--tmpfs"}
    argv = wrap(
        PRESENT[-1],
        Inside(binds=(Bind(source="/a", target="/b"),), root=root, variables=variables),
        Path("/own"),
    )
    opening, closing = argv.argv[: argv.files_at], argv.argv[argv.files_at :]
    assert closing[:2] == ("--remount-ro", "/dev")
    assert opening[-3:] == ("--setenv", "B", "--tmpfs")


CONTAINER = Sandbox(level="container", needs_image=True)
GVISOR = Sandbox(level="gvisor")
HOST = Job(kind="run", command=("x",))
INSIDE = Job(kind="run", command=("x",), inside=True, image="sha256:1")
ENGINE = Job(kind="native", command=("x",), engine=True)
ALL = (*PRESENT, CONTAINER, GVISOR)


@pytest.mark.parametrize(
    ("present", "floors", "job", "expected"),
    [
        (PRESENT, (None, "none"), HOST, "bwrap"),
        (ALL, (None, None), HOST, "bwrap"),
        (ALL, (None, "bwrap"), HOST, "bwrap"),
        (PRESENT[:2], (None, None), HOST, "process"),
        (ALL, ("gvisor", None), HOST, "gvisor"),
        (ALL, ("container", None), HOST, "gvisor"),
        (ALL, (None, None), INSIDE, "bwrap"),
        (ALL, ("none", "process"), INSIDE, "bwrap"),
        (ALL, ("bwrap", "container"), INSIDE, "container"),
        (ALL, ("container", "gvisor"), INSIDE, "gvisor"),
        ((*PRESENT[:2], CONTAINER), (None, None), INSIDE, "container"),
        ((*PRESENT[:2], GVISOR), (None, None), INSIDE, "gvisor"),
        (ALL, (None, None), ENGINE, "process"),
        (ALL, ("container", "bwrap"), ENGINE, "process"),
        (PRESENT[:1], (None, None), ENGINE, "none"),
    ],
)
def test_the_strongest_usual_level_is_used_or_the_weakest_that_meets_the_floor(
    present: tuple[Sandbox, ...], floors: tuple[str | None, ...], job: Job, expected: str
) -> None:
    assert choose(present, floors, job).level == expected


@pytest.mark.parametrize(
    ("present", "floor"), [(2, "bwrap"), (3, "container"), (3, "gvisor"), (1, "process")]
)
def test_a_floor_above_what_is_present_refuses(present: int, floor: SandboxLevel) -> None:
    with pytest.raises(RefusedError, match=floor):
        choose(PRESENT[:present], (None, floor), HOST)


def test_a_job_of_the_machine_is_not_given_a_container() -> None:
    with pytest.raises(RefusedError, match="needs an image") as caught:
        choose((*PRESENT, CONTAINER), (None, "container"), HOST)
    assert caught.value.hint is not None


@pytest.mark.parametrize("present", [PRESENT[:1], PRESENT[:2]])
def test_without_any_sandbox_no_job_runs_in_an_image(present: tuple[Sandbox, ...]) -> None:
    with pytest.raises(RefusedError, match="in an image") as caught:
        choose(present, (None, "none"), INSIDE)
    assert "bubblewrap" in (caught.value.hint or "")


class Tool:
    """A bwrap that answers, or does not."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.calls = 0

    def __call__(self, argv: list[str], **_: object) -> process.Completed:
        self.calls += 1
        if not self.works:
            raise ToolError("no")
        return process.Completed(argv=tuple(argv), code=0, stdout=b"bubblewrap 0.8.0\n", stderr=b"")


@pytest.fixture(params=[True, False])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    tool = Tool(works=request.param)
    monkeypatch.setattr(process, "run", tool)
    (data / "bwrap").write_text("")
    monkeypatch.setattr("shutil.which", lambda _: str(data / "bwrap"))
    return tool


def test_a_sandbox_counts_only_when_it_works(tool: Tool, data: Path) -> None:
    levels = [item.level for item in probe(data)]
    assert levels == (["none", "process", "bwrap"] if tool.works else ["none", "process"])


def test_the_answer_is_kept_until_the_tool_or_the_boot_changes(tool: Tool, data: Path) -> None:
    first = probe(data)
    calls = tool.calls
    assert probe(data) == first
    assert tool.calls == calls
    os.utime(data / "bwrap", (1, 1))
    probe(data)
    assert tool.calls > calls
    kept = json.loads((data / "sandbox.json").read_text())
    kept["key"][0] = "another boot"
    (data / "sandbox.json").write_text(json.dumps(kept))
    calls = tool.calls
    probe(data)
    assert tool.calls > calls
