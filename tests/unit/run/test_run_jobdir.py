"""What a job directory tells, also when a job or a crash left it in a bad state."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from djed.run.jobdir import JobDirectory, Supervisor

ORDER: dict[str, Any] = {
    "node": "local/n",
    "cpus": [1],
    "level": "bwrap",
    "tool": "bubblewrap 1",
    "wheels": {},
    "directories": ["", ""],
}


@pytest.fixture
def directory(tmp_path: Path) -> JobDirectory:
    directory = JobDirectory(tmp_path / "djed-a-1")
    directory.path.mkdir()
    return directory


def _start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_a_supervisor_is_opened_by_number_and_start_time() -> None:
    descriptor = Supervisor(pid=os.getpid(), start_time=_start_time(os.getpid())).open()
    assert descriptor is not None
    os.close(descriptor)


def test_a_later_process_with_the_same_number_is_not_taken_for_it() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert Supervisor(pid=os.getpid(), start_time=1).open() is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("text", ["", "12", "12 x\n", "a b c"])
def test_a_torn_note_names_no_supervisor(directory: JobDirectory, text: str) -> None:
    (directory.path / "started").write_text(text)
    assert directory.supervisor() is None


def test_the_lock_tells_whether_a_supervisor_lives(directory: JobDirectory) -> None:
    assert not directory.is_locked()
    descriptor = os.open(directory.path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert directory.is_locked()
    os.close(descriptor)
    assert not directory.is_locked()


def test_the_last_line_of_a_broken_supervisor_is_its_complaint(directory: JobDirectory) -> None:
    assert directory.complaint() is None
    (directory.path / "shim.log").write_text("Traceback\n  line\nOSError: no\n")
    assert directory.complaint() == "OSError: no"


def test_remains_keep_what_was_said(directory: JobDirectory) -> None:
    (directory.path / "stdout").write_text("12345")
    remains = directory.remains(ORDER)
    assert remains["lost"]
    assert remains["stdout"] == {"size": 5, "kept": 5}
    assert (remains["node"], remains["sandbox"]) == ("local/n", "bwrap")


def test_outputs_are_brought_from_where_the_job_wrote_them(directory: JobDirectory, tmp_path: Path) -> None:
    directory.outputs.mkdir()
    staging = tmp_path / "staging"
    staging.mkdir()
    (staging / "file").touch()
    directory.bring_outputs(staging)
    directory.bring_outputs(staging)
    assert [path.name for path in directory.outputs.iterdir()] == ["file"]


@pytest.mark.parametrize("left", ["link", "file", "nothing"])
def test_whatever_a_job_made_of_outputs_it_ends_as_a_folder(
    directory: JobDirectory, tmp_path: Path, left: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    if left == "link":
        directory.outputs.symlink_to(tmp_path / "elsewhere")
    elif left == "file":
        directory.outputs.touch()
    directory.bring_outputs(directory.outputs)
    assert directory.outputs.is_dir()
    assert not directory.outputs.is_symlink()
    assert (tmp_path / "elsewhere").exists()
