"""requirements.txt to packages or a lock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djed.config import Config
from djed.errors import RequestError
from djed.intake import Submission, read_mapping

Fold = Callable[..., Submission]
Messages = Callable[..., list[str]]
HASH = "sha256:" + "ab" * 32
OTHER = "sha512:" + "cd" * 64


def test_comments_continuations_markers_and_extras_are_read(fold: Fold) -> None:
    text = (
        "# first\nnumpy>=2.1,\\\n   <3  # a reason\n\na[b,c]==1 ; python_version > '3'\n"
        "   # last \\\nd @ https://index.example/d.whl#sha256=ab\n"
    )
    environment = fold("requirements.txt", {"requirements.txt": text}).request.environment
    assert environment.packages == (
        "numpy>=2.1, <3", "a[b,c]==1 ; python_version > '3'", "d @ https://index.example/d.whl#sha256=ab",
    )  # fmt: skip
    assert environment.requirements is None
    assert environment.lock is None


def test_included_files_are_read_relative_to_the_one_that_includes_them(fold: Fold) -> None:
    files = {
        "requirements.txt": "-r deep/more.txt\n-c bounds.txt\na\n",
        "deep/more.txt": "--requirement=../other.txt\nb\n",
        "other.txt": "-rrequirements.txt\nc\n",
        "bounds.txt": "-r more-bounds.txt\na<2\n",
        "more-bounds.txt": "b<3\n",
    }
    environment = fold("requirements.txt", files, packages=["z"], constraints=["z<9"]).request.environment
    assert environment.packages == ("z", "c", "b", "a")
    assert environment.constraints == ("z<9", "b<3", "a<2")


def test_pinned_and_hashed_is_a_lock(fold: Fold) -> None:
    text = (
        f"--require-hashes\nB.b==2.0 \\\n    --hash={HASH} \\\n    --hash={OTHER}\n"
        f"a[x]==1.0.post1; python_version >= '3.8' --hash={HASH}\n"
    )
    environment = fold("requirements.txt", {"requirements.txt": text}).request.environment
    assert environment.packages == ()
    assert environment.lock is not None
    assert environment.lock.origin == "given"
    first, second = environment.lock.packages
    assert (first.name, first.version, first.marker, first.extras, first.hashes) == (
        "a", "1.0.post1", 'python_version >= "3.8"', ("x",), (HASH,),
    )  # fmt: skip
    assert (second.name, second.version, second.hashes) == ("b-b", "2.0", (HASH, OTHER))


def test_an_index_replaces_the_default(fold: Fold) -> None:
    text = "--index-url https://index.example/simple\na\n"
    (index,) = fold("requirements.txt", {"requirements.txt": text}).request.environment.indexes
    assert (index.url, index.packages) == ("https://index.example/simple", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n-e .\n", 'requirements.txt:2: the option "--editable" is not possible here'),
        ("--extra-index-url https://index.example\n", 'requirements.txt:1: the option "--extra-index-url"'),
        ("--find-links=.\n", 'requirements.txt:1: the option "--find-links"'),
        ("--pre\n", 'requirements.txt:1: the option "--pre"'),
        ("--index-url file:///srv\n", "requirements.txt: indexes[0].url: "),
        ("git+https://index.example/a\n", "requirements.txt:1: "),
        ("./a.whl\n", "requirements.txt:1: "),
        ("a; curl x | sh\n", "requirements.txt:1: "),
        ("a==${VERSION}\n", "requirements.txt:1: "),
        ("\n\na @ file:///etc/passwd\n", "requirements.txt:3: "),
        ("a --global-option=x\n", "requirements.txt:1: "),
        (f"a==1 --hash={HASH}\nb==2\n", 'requirements.txt:2: "b==2" has no hash'),
        (f"a>=1 --hash={HASH}\n", 'requirements.txt:1: "a>=1" has a hash but no exact version'),
        (f"a==1.* --hash={HASH}\n", 'requirements.txt:1: "a==1.*" has a hash but no exact version'),
        ("a==1 --hash=md5:00\n", "requirements.txt: lock.packages[0].hashes[0]: "),
        ("-r missing.txt\n", 'requirements.txt:1: "missing.txt" does not exist'),
        ("-r ../outside.txt\n", 'requirements.txt:1: "../outside.txt" is outside the folder'),
        ("-r https://index.example/r.txt\n", "requirements.txt:1: "),
        ("-r .\n", 'requirements.txt:1: "." is a directory'),
    ],
)
def test_what_is_not_wanted_is_refused_with_its_line(
    fold_faults: Messages, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path.parent / "outside.txt").write_text("secret")
    (found,) = fold_faults("requirements.txt", {"requirements.txt": text})
    assert found.startswith(message)


def test_every_bad_line_is_told(fold_faults: Messages) -> None:
    found = fold_faults("requirements.txt", {"requirements.txt": "-r b.txt\n-e x\n", "b.txt": "!\na b\n"})
    assert [message.partition(": ")[0] for message in found] == ["b.txt:1", "b.txt:2", "requirements.txt:2"]


def test_files_nested_too_deep_are_refused(fold_faults: Messages) -> None:
    files = {"requirements.txt": "-r 1.txt\n"} | {f"{n}.txt": f"-r {n + 1}.txt\n" for n in range(1, 30)}
    assert fold_faults("requirements.txt", files) == ["16.txt:1: files include files more than 16 deep"]


def test_a_file_of_endless_lines_is_refused(fold_faults: Messages) -> None:
    found = fold_faults("requirements.txt", {"requirements.txt": "a\n" * 10_001})
    assert found == ["requirements.txt:10001: there are more than 10000 lines"]


def test_a_lock_and_packages_exclude_each_other(fold_faults: Messages) -> None:
    files = {"requirements.txt": f"a==1 --hash={HASH}\n"}
    (found,) = fold_faults("requirements.txt", files, packages=["b"])
    assert found == "there is a complete lock, and packages or constraints beside it"


def test_a_file_of_an_unknown_kind_is_refused(fold_faults: Messages) -> None:
    assert "no requirements file that Djed knows" in fold_faults("poetry.lock", {"poetry.lock": ""})[0]


def test_extras_are_picked_from_a_pyproject_only(fold_faults: Messages) -> None:
    assert fold_faults("a.txt[b]", {"a.txt": ""}) == ["only a pyproject.toml has extras to pick"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.text(max_size=8)
        | st.sampled_from(
            [
                "-r a.txt",
                "-c a.txt",
                f"a==1 --hash={HASH}",
                "a",
                "-e",
                "--hash",
                "\\",
                "a \\",
                "-r",
                "--=",
                "# x",
            ]
        ),
        max_size=5,
    ),
    name=st.sampled_from(["a.txt", "Pipfile", "Pipfile.lock", "pyproject.toml", "pylock.toml"]),
)
def test_any_text_is_read_or_refused(tmp_path: Path, config: Config, lines: list[str], name: str) -> None:
    (tmp_path / name).write_bytes("\n".join(lines).encode(errors="replace"))
    with suppress(RequestError):
        request = read_mapping(
            {"environment": {"requirements": name}}, config=config, folder=tmp_path
        ).request
        assert request.environment.requirements is None
