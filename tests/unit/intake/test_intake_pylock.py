"""pylock.toml to a lock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from djed.intake import Submission
from djed.model.lock import LockedFile
from djed.model.request import Index

Fold = Callable[..., Submission]
Messages = Callable[..., list[str]]
HASH = "ab" * 32
HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'
WHEEL = f'wheels = [{{url = "https://files.example/a-1-py3-none-any.whl", hashes = {{sha256 = "{HASH}"}}}}]\n'
LOCK = f"""{HEAD}
requires-python = ">=3.10"

[[packages]]
name = "b"
version = "2.0"
marker = "sys_platform == 'linux'"
index = "https://index.example/simple"
sdist = {{url = "https://files.example/b-2.0.tar.gz", hashes = {{sha256 = "{HASH}"}}}}

[[packages]]
name = "a"
version = "1"
wheels = [
  {{name = "a-1-py3-none-any.whl", upload-time = 2026-01-02T03:04:05Z, url = "https://files.example/a-1-py3-none-any.whl", \
size = 10, hashes = {{sha256 = "{HASH}"}}}},
]
"""


@pytest.mark.parametrize("name", ["pylock.toml", "pylock.gpu.toml"])
def test_a_pylock_is_a_lock(fold: Fold, name: str) -> None:
    environment = fold(name, {name: LOCK}).request.environment
    lock = environment.lock
    assert lock is not None
    assert (lock.origin, lock.requires_python, lock.stack) == ("given", ">=3.10", {"a": "1", "b": "2.0"})
    assert lock.packages[0].wheels == (
        LockedFile(
            name="a-1-py3-none-any.whl",
            url="https://files.example/a-1-py3-none-any.whl",
            hashes={"sha256": HASH},
            size=10,
            uploaded="2026-01-02T03:04:05+00:00",
        ),
    )
    assert lock.packages[1].sdist is not None
    assert lock.packages[1].marker == 'sys_platform == "linux"'
    assert environment.indexes == (
        Index(name="index-1", url="https://index.example/simple", packages=("b",)),
    )
    assert lock.packages[1].index == "index-1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not a lock of PEP 751"),
        ('lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "this is not a lock of PEP 751"),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\nvcs = {type = "git", url = "https://x", commit-id = "1"}\n', "from a vcs"),
        (HEAD + '[[packages]]\nname = "a"\ndirectory = {path = "."}\n', "from a directory"),
        (HEAD + f'[[packages]]\nname = "a"\narchive = {{path = "a.zip", hashes = {{sha256 = "{HASH}"}}}}\n', "from a archive"),
        (HEAD + f'[[packages]]\nname = "a"\n{WHEEL}', '"a" has no version'),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\n' + WHEEL.replace("url =", "path ="), "without an address"),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\n' + WHEEL.replace("https:", "file:"), "lock.packages[0].wheels[0].url: "),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\n' + WHEEL.replace("files.example", "127.0.0.1"), "private address"),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\n' + WHEEL.replace("sha256", "md5"), "there is no hash"),
        (HEAD + '[[packages]]\nname = "a"\nversion = "1"\n' + WHEEL.replace(HASH, "xyz"), "64 hexadecimal digits"),
        (HEAD + 'extras = ["x"]\npackages = []\n', "leaves a choice open"),
    ],
)  # fmt: skip
def test_a_bad_pylock_is_a_sentence(fold_faults: Messages, text: str, message: str) -> None:
    (found,) = fold_faults("pylock.toml", {"pylock.toml": text})
    assert message in found
