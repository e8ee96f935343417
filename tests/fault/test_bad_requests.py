"""Bad input: refused with one sentence and exit code 2, whatever the file holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import RequestError
from djed.intake import read_file

Refuse = Callable[..., RequestError]
BOMB = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def refuse(tmp_path: Path) -> Iterator[Refuse]:
    """Reads a request that must be refused, and answers with the error. What lies beside the request stays as it is."""
    folder = tmp_path / "request"
    folder.mkdir()

    def read(text: str | bytes, name: str = "inspection.yaml") -> RequestError:
        path = folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(RequestError) as caught:
            read_file(path, config=Config(data=tmp_path / "data"))
        assert sorted(tmp_path.rglob("*")) == before
        return caught.value

    yield read
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nmae: x\n", 'inspection.yaml:1: nmae: there is no key "nmae" here.'),
        ("run: {command: [a], repeat: many}\n", 'run.repeat: must be a whole number, not "many".'),
        ("", "inspection.yaml: the file is empty."),
        ("\n  \n", "inspection.yaml: the file is empty."),
        ("just text\n", "a request is a mapping of keys"),
        (BOMB, 'inspection.yaml:2: aliases ("*a") are not allowed'),
        (b"name: \xff\xfe\n", "inspection.yaml:1: the file is not UTF-8 text."),
        (b"name: a\0b\n", "inspection.yaml:1: the file holds a NUL character."),
        ('name: "a\\0b"\n', 'name: "a\\u0000b" is not a name.'),
        ('name: "a\\nb"\n', 'name: "a\\nb" is not a name.'),
        (
            'environment: {files: [{path: "a\\nb", content: x}]}\n',
            'environment.files[0].path: "a\\nb" is not a path.',
        ),
        ('environment: {variables: {"A\\nB": x}}\n', "is not the name of a variable."),
        ("environment: {files: [{path: a, source: ../secret}]}\n", "environment.files[0].source: "),
        ("environment: {files: [{path: a, source: /etc/passwd}]}\n", "is outside the folder of the request."),
        ("run: {script: ../secret}\n", 'run.script: "../secret" is outside the folder of the request.'),
        ("run: {script: .}\n", "run.script: "),
        ("run: {script: missing.py}\n", 'run.script: "missing.py" does not exist.'),
        ("environment: {packages: ['a; rm -rf ~']}\n", "environment.packages[0]: "),
        ("environment: {packages: ['a && id']}\n", "environment.packages[0]: "),
        ("environment: {packages: ['$(id)']}\n", "environment.packages[0]: "),
        ("environment: {indexes: [{name: a, url: nonsense}]}\n", '"nonsense" is not a web address.'),
        ("environment: {indexes: [{name: a, url: 'file:///srv'}]}\n", "is not an http or https address."),
        ("environment: {indexes: [{name: a, url: 'http://169.254.169.254/'}]}\n", "is a private address."),
    ],
)
def test_bad_input_is_refused_with_one_sentence(
    refuse: Refuse, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "secret").write_text("x")
    error = refuse(text)
    assert sentence in error.message
    assert "\n" not in error.message
    assert error.exit_code == 2


def test_a_request_of_100_megabytes_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "inspection.yaml"
    path.touch()
    os.truncate(path, 100 * 2**20)
    with pytest.raises(RequestError, match="it is too large: a request may have 1 MiB"):
        read_file(path, config=Config())


def test_a_script_that_is_a_directory_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "request/script.py").mkdir()
    assert refuse("run: {script: script.py}\n").message == (
        'inspection.yaml:1: run.script: "script.py" is a directory, not a file.'
    )


@pytest.mark.parametrize("name", ["inspection.yaml", "script.py"])
def test_a_directory_in_place_of_a_request_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RequestError, match=f"{name}: it is a directory"):
        read_file(tmp_path / name, config=Config())


def test_an_unreadable_file_is_refused(
    refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "request/secret").touch()
    real = os.open

    def opened(path: str, flags: int, **others: int) -> int:
        if path == "secret":
            raise PermissionError(13, "Permission denied")
        return real(path, flags, **others)

    monkeypatch.setattr(os, "open", opened)
    error = refuse("run: {script: secret}\n")
    assert error.message == 'inspection.yaml:1: run.script: "secret" cannot be read: permission denied.'


def test_a_missing_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a\.yaml: it does not exist"):
        read_file(tmp_path / "a.yaml", config=Config())


def test_a_pipe_in_place_of_a_request_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(RequestError, match="not a regular file"):
        read_file(tmp_path / "a.yaml", config=Config())


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.toml"])
@pytest.mark.parametrize("bracket", ["[", "{"])
def test_endless_nesting_is_refused(refuse: Refuse, name: str, bracket: str) -> None:
    inner = {"[": "[", "{": '{"a": '}[bracket]
    start = {"a.yaml": "a: ", "a.json": '{"a": ', "a.toml": "a = "}[name]
    refuse(start + inner * 100_000, name)
