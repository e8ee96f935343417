from __future__ import annotations

import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.build.pylock import Choice, read_pylock, toml_text, write_pylock
from djed.errors import DjedError, ToolError
from tests.support.assemblies import locked, wheel_file

SHA = "a" * 64
WHEEL = "https://files.example/app-1.0-py3-none-any.whl"


def pylock(entry: str, head: str = 'lock-version = "1.0"') -> bytes:
    return f"{head}\n[[packages]]\n{entry}\n".encode()


def entry(
    *,
    name: str = "app",
    version: str = "1.0",
    url: str = WHEEL,
    hashes: str = f'sha256 = "{SHA}"',
    more: str = "",
) -> bytes:
    wheels = f'wheels = [{{ url = "{url}", hashes = {{ {hashes} }} }}]'
    return pylock(f'name = "{name}"\nversion = "{version}"\n{wheels}\n{more}')


def test_a_file_is_read_with_its_hash_size_and_upload_time() -> None:
    (package,) = read_pylock(
        pylock(
            f'name = "app"\nversion = "1.0"\nmarker = "python_version > \'3\'"\nsdist = {{ '
            f'url = "https://files.example/app-1.0.tar.gz", upload-time = 2024-11-02T17:48:55Z, size = 7, '
            f'hashes = {{ sha256 = "{SHA}" }} }}'
        )
    )
    assert package.sdist is not None
    assert (package.name, package.version, package.marker) == ("app", "1.0", "python_version > '3'")
    assert (package.sdist.name, package.sdist.size, package.sdist.hashes) == (
        "app-1.0.tar.gz",
        7,
        {"sha256": SHA},
    )
    assert package.sdist.uploaded == "2024-11-02T17:48:55+00:00"


def test_an_archive_is_the_one_wheel_or_the_source() -> None:
    form = 'name = "app"\nversion = "1.0"\narchive = {{ url = "https://x.example/{}", hashes = {{ sha256 = "{}" }} }}'
    (built,) = read_pylock(pylock(form.format("app-1.0-py3-none-any.whl", SHA)))
    (source,) = read_pylock(pylock(form.format("app-1.0.tar.gz", SHA)))
    assert (len(built.wheels), built.sdist) == (1, None)
    assert (source.wheels, source.sdist is None) == ((), False)


def test_a_name_with_percent_escapes_is_read() -> None:
    (package,) = read_pylock(
        entry(version="1.0+cpu", url="https://f.example/app-1.0%2Bcpu-py3-none-any.whl#x")
    )
    assert package.wheels[0].name == "app-1.0+cpu-py3-none-any.whl"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\xff", "not TOML"),
        (b"a = ", "not TOML"),
        (b"a = " + b"[" * 100_000, "not TOML"),
        (b"x" * (17 * 2**20), "larger"),
        (pylock("", head='lock-version = "2.0"'), "version 1"),
        (b'lock-version = "1.0"\npackages = 3', "packages"),
        (b'lock-version = "1.0"\npackages = [3]', "table"),
        (entry(name="../app"), "name"),
        (entry(name="App"), "name"),
        (entry(version="latest"), "exact version"),
        (entry(hashes=""), "no sha256"),
        (entry(hashes='md5 = "' + "a" * 32 + '"'), "no sha256"),
        (entry(hashes='sha256 = "abc"'), "wrong sha256"),
        (entry(hashes='sha256 = "' + "Z" * 64 + '"'), "wrong sha256"),
        (entry(url="file:///etc/passwd"), "address"),
        (entry(url="https://x.example/a b.whl"), "address"),
        (entry(url="https://[x/app-1.0-py3-none-any.whl"), "address"),
        (entry(url="https:///app-1.0-py3-none-any.whl"), "address"),
        (entry(hashes="sha256 = 3"), "no text"),
        (entry(url="https://x.example/"), "wrong name"),
        (entry(url="https://x.example/other-1.0-py3-none-any.whl"), "not of app"),
        (entry(url="https://x.example/app-1.1-py3-none-any.whl"), "not of app"),
        (entry(url="https://x.example/app-1.0.whl"), "not of app"),
        (entry(url="https://x.example/other-1.0.tar.gz"), "not of app"),
        (entry(more="marker = 3"), "marker"),
        (entry(more='vcs = { url = "https://x.example/r" }'), "vcs"),
        (entry(more='directory = { path = "/root" }'), "directory"),
        (pylock('name = "app"\nversion = "1.0"'), "no file"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_with_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(ToolError, match=word):
        read_pylock(data)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_hostile_bytes_never_crash_the_reader(data: bytes) -> None:
    with suppress(DjedError):
        read_pylock(b'lock-version = "1.0"\n[[packages]]\n' + data)


@given(st.text())
def test_any_text_comes_back_from_toml(text: str) -> None:
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        return
    assert tomllib.loads(f"a = {toml_text(text)}") == {"a": text}


def test_what_is_written_names_one_wheel_a_package_and_can_be_read() -> None:
    app = locked("app", "1.0")
    text = write_pylock([Choice(package=app, file=app.wheels[0])], "3.11.7")
    (package,) = read_pylock(text.encode())
    assert package == app
    assert tomllib.loads(text)["requires-python"] == "==3.11.7"


def test_a_built_wheel_is_written_by_its_path() -> None:
    built = Choice(package=locked("app", "1.0"), file=wheel_file("app", "1.0"), path="wheels/a.whl")
    assert 'path = "wheels/a.whl"' in write_pylock([built], "3.11.7")
