"""What a job left is searched through before anybody keeps it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from djed.run import shim

VALUES = {"token": b"s3cr3t-t0ken"}
TOKEN = VALUES["token"]


@pytest.fixture
def withhold(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as the shim imports it: by its bare name."""
    monkeypatch.syspath_prepend(str(Path(shim.__file__).parent))
    for name in ("withhold", "mask"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import withhold  # type: ignore[import-not-found]

    return withhold  # type: ignore[no-any-return]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


def _search(withhold: ModuleType, outputs: Path) -> list[str]:
    search = withhold.Withhold(sys.modules["mask"].Patterns(VALUES))
    return list(search.search(str(outputs)))


def _left(outputs: Path) -> list[str]:
    return sorted(
        str(path.relative_to(outputs))
        for path in outputs.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


@pytest.mark.parametrize("offset", [0, 1, 4090, 4096, 5000])
def test_a_value_is_found_wherever_it_stands(
    withhold: ModuleType, outputs: Path, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withhold, "CHUNK", 4096)
    (outputs / "file").write_bytes(b"x" * offset + TOKEN + b"y" * 10_000)
    (outputs / "other").write_bytes(b"x" * offset + TOKEN[:-1] + b"y" * 10_000)
    assert _search(withhold, outputs) == ["file: contains the secret token"]
    assert _left(outputs) == ["other"]


def test_names_that_hold_one_are_told_masked_and_renamed_or_removed(
    withhold: ModuleType, outputs: Path
) -> None:
    name = TOKEN.decode()
    (outputs / f"d-{name}").mkdir()
    (outputs / f"d-{name}" / "fine").write_bytes(b"fine")
    (outputs / f"f-{name}").write_bytes(b"")
    (outputs / f"l-{name}").symlink_to("elsewhere")
    (outputs / name[:3]).mkdir()
    assert _search(withhold, outputs) == [
        f"{kind}-***: its name contains the secret token" for kind in ("d", "f", "l")
    ]
    (left,) = _left(outputs)
    assert left.startswith("withheld-")
    assert left.endswith("/fine")


def test_links_are_not_followed(withhold: ModuleType, outputs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").write_bytes(TOKEN)
    (outputs / "folder").symlink_to(tmp_path / "mine")
    (outputs / "file").symlink_to(tmp_path / "mine" / "kept")
    os.mkfifo(outputs / "pipe")
    assert _search(withhold, outputs) == []
    assert (tmp_path / "mine" / "kept").read_bytes() == TOKEN
    assert _left(outputs) == ["file", "folder", "pipe"]


@pytest.mark.parametrize("mode", [0o500, 0o555])
def test_a_folder_that_cannot_be_written_is_opened_up(withhold: ModuleType, outputs: Path, mode: int) -> None:
    (outputs / "a").mkdir()
    (outputs / "a" / "file").write_bytes(TOKEN)
    (outputs / "a").chmod(mode)
    assert _search(withhold, outputs) == ["a/file: contains the secret token"]
    assert stat.S_IMODE((outputs / "a").stat().st_mode) == 0o700


def test_what_was_not_searched_in_time_is_not_kept(
    withhold: ModuleType, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withhold, "SECONDS", -1.0)
    (outputs / "file").write_bytes(b"fine")
    assert _search(withhold, outputs) == ["file: was not searched for secrets in time"]
    assert _left(outputs) == []


def test_no_more_is_told_than_a_reader_can_bear(
    withhold: ModuleType, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(withhold, "MOST", 2)
    for number in range(5):
        (outputs / str(number)).write_bytes(TOKEN)
    assert _search(withhold, outputs) == [
        "0: contains the secret token",
        "1: contains the secret token",
        "and 3 more",
    ]
    assert _left(outputs) == []


def test_outputs_that_the_job_took_away_hold_nothing(withhold: ModuleType, outputs: Path) -> None:
    outputs.rmdir()
    assert _search(withhold, outputs) == []


def test_outputs_that_are_a_link_are_not_searched(
    withhold: ModuleType, outputs: Path, tmp_path: Path
) -> None:
    outputs.rmdir()
    outputs.symlink_to(tmp_path)
    (tmp_path / "mine").write_bytes(TOKEN)
    assert _search(withhold, outputs) == []
    assert (tmp_path / "mine").read_bytes() == TOKEN


def test_what_cannot_be_taken_away_is_told_without_its_name(
    withhold: ModuleType, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, **_: object) -> None:
        raise PermissionError(1, "Operation not permitted", name)

    (outputs / TOKEN.decode()).write_bytes(b"")
    monkeypatch.setattr(withhold.os, "unlink", refuse)
    with pytest.raises(RuntimeError, match=r"^what the job left .*: Operation not permitted$") as caught:
        _search(withhold, outputs)
    assert caught.value.__suppress_context__
