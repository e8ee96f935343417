"""Settings: declared once, each remembers where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.config import Config, load, settings
from djed.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_each_source_wins_over_the_one_below_it_and_is_remembered(file: Path) -> None:
    file.write_text('[worker]\nlease = "1s"\nattempts = 2\n[locks]\nmax_age = "1h"\n')
    environ = {"DJED_WORKER_LEASE": "2s", "DJED_WORKER_ATTEMPTS": "4"}
    found = load({"worker.lease": "3s"}, environ=environ, file=file)
    assert (found.lease, found.attempts, found.locks_max_age, found.limits_processes) == (
        3.0,
        4,
        3600.0,
        1024,
    )
    assert [
        found.sources[name]
        for name in ("worker.lease", "worker.attempts", "locks.max_age", "limits.processes")
    ] == [
        "command line",
        "environment",
        "file",
        "default",
    ]


def test_every_setting_has_a_source_a_variable_and_a_help(file: Path) -> None:
    found = load(environ={}, file=file)
    names = [name for name, *_ in settings()]
    assert set(found.sources) == set(names)
    assert len(set(names)) == len(names)
    for name, variable, _, text, field in settings():
        assert variable == "DJED_" + name.upper().replace(".", "_")
        assert text.endswith(".")
        assert hasattr(found, field)


def test_without_anything_the_defaults_hold(file: Path) -> None:
    found, plain = load(environ={}, file=file), Config()
    assert {field: getattr(found, field) for *_, field in settings()} == {
        field: getattr(plain, field) for *_, field in settings()
    }


@pytest.mark.parametrize("source", ["file", "command line"])
def test_an_unknown_setting_names_the_nearest(file: Path, source: str) -> None:
    if source == "file":
        file.write_text('[worker]\nleese = "1s"\n')
    with pytest.raises(ConfigError, match=f"'worker.leese'.*{source}") as caught:
        load({"worker.leese": "1s"} if source == "command line" else None, environ={}, file=file)
    assert caught.value.hint == "Did you mean 'worker.lease'?"


def test_a_foreign_variable_of_the_environment_is_none_of_ours(file: Path) -> None:
    load(environ={"DJED_NONSENSE": "x"}, file=file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("worker.lease", "soon"),
        ("worker.lease", "0"),
        ("worker.attempts", "0"),
        ("worker.attempts", "many"),
        ("worker.attempts", "1.5"),
        ("sandbox.floor", "docker"),
        ("indexes.allow_private", "maybe"),
        ("limits.disk", "-1"),
        ("limits.disk", "much"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_setting_the_source_and_the_value(
    file: Path, name: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({name: text}, environ={}, file=file)
    message = caught.value.message
    assert message.startswith(f"The setting {name!r} (from the command line) is wrong: {text!r} is ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"not toml", b"\xff\xfe", b"a = ["])
def test_a_file_that_cannot_be_read_is_a_sentence(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={}, file=file)


def test_a_folder_in_place_of_the_file_is_a_sentence(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={}, file=file)


def test_the_file_is_where_the_environment_says(tmp_path: Path) -> None:
    (tmp_path / "djed").mkdir()
    (tmp_path / "djed/config.toml").write_text('worker.lease = "7s"\n')
    (tmp_path / "other.toml").write_text('worker.lease = "8s"\n')
    assert load(environ={"XDG_CONFIG_HOME": str(tmp_path)}).lease == 7.0
    both = {"XDG_CONFIG_HOME": str(tmp_path), "DJED_CONFIG": str(tmp_path / "other.toml")}
    assert load(environ=both).lease == 8.0


def test_the_file_speaks_toml(file: Path) -> None:
    file.write_text('pythons = ["/a", "/b"]\n[indexes]\nallow_private = true\n[limits]\nprocesses = 5\n')
    found = load(environ={}, file=file)
    assert (found.pythons, found.indexes_allow_private, found.limits_processes) == (("/a", "/b"), True, 5)


def test_a_home_is_found_in_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert load({"data": "~/djed"}, environ={}, file=file).data == Path("/home/someone/djed")
