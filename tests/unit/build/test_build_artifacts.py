from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import Assembly, BuildError
from djed.build.venv import VenvBuilder
from djed.build.wheel import WheelBuilder
from djed.errors import ToolError
from djed.model.job import At, Job
from djed.model.lock import Lock
from djed.model.result import Result
from djed.toolbox.digest import digest_bytes
from tests.support.assemblies import ASSEMBLY, SOURCE, install

GOOD = Result(exit_code=0)
BUILT = replace(ASSEMBLY, package=SOURCE)


def text_of(job: Job, path: str) -> str:
    return next(file.text or "" for file in job.files if file.path == path)


def test_the_environment_is_made_of_index_wheels_and_built_wheels() -> None:
    job = VenvBuilder().render(ASSEMBLY)
    digest = ASSEMBLY.wheels["native"].digest
    assert job.wheels == (digest,)
    assert job.command[-1] == At(place="wheels", path=f"{'e' * 64}/native-2.0-py3-none-any.whl")
    assert 'url = "https://files.example/app-1.0-py3-none-any.whl"' in text_of(job, "pylock.toml")
    assert 'path = "wheels/native-2.0-py3-none-any.whl"' in text_of(job, "pylock.toml")


def test_no_variable_of_the_request_reaches_the_job_that_may_write_the_shared_cache() -> None:
    environment = replace(ASSEMBLY.environment, variables={"LD_PRELOAD": "/tmp/evil.so"})
    assert "LD_PRELOAD" not in VenvBuilder().render(replace(ASSEMBLY, environment=environment)).variables
    assert "LD_PRELOAD" in WheelBuilder().render(replace(BUILT, environment=environment)).variables


def test_an_environment_without_packages_installs_nothing() -> None:
    job = VenvBuilder().render(replace(ASSEMBLY, lock=Lock(), wheels={}))
    assert [file.path for file in job.files] == ["venv.sh"]


def test_the_source_is_fetched_by_its_strongest_hash() -> None:
    source = ASSEMBLY.lock.packages[1]
    assert source.sdist is not None
    sdist = replace(source.sdist, hashes={"sha256": "a" * 64, "sha512": "b" * 128})
    lock = replace(ASSEMBLY.lock, packages=(replace(source, sdist=sdist),))
    job = WheelBuilder().render(replace(BUILT, lock=lock))
    assert job.command[5:9] == (sdist.url, sdist.name, "sha512", "b" * 128)


def test_contents_join_what_is_installed_with_what_was_locked(tmp_path: Path) -> None:
    install(tmp_path / "venv", ("app", "1.0"), ("native", "2.0"), metadata="License-Expression: MIT")
    app, native = VenvBuilder().seal(ASSEMBLY, GOOD, tmp_path).artifact.contents
    wheel = ASSEMBLY.lock.packages[0].wheels[0]
    assert (app.licence, app.hashes, app.built, app.file) == (
        "MIT",
        (f"sha256:{wheel.hashes['sha256']}",),
        False,
        wheel.name,
    )
    assert (native.hashes, native.built) == (("sha256:" + "d" * 64,), True)


@pytest.mark.parametrize(
    "installed",
    [
        [("app", "1.0")],
        [("app", "1.1"), ("native", "2.0")],
        [("app", "1.0"), ("native", "2.0"), ("stowaway", "1.0")],
    ],
)
def test_another_stack_than_the_locked_one_is_refused(
    tmp_path: Path, installed: list[tuple[str, str]]
) -> None:
    install(tmp_path / "venv", *installed)
    with pytest.raises(ToolError, match="environment"):
        VenvBuilder().seal(ASSEMBLY, GOOD, tmp_path)


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., Path]:
    def fill(*names: str) -> Path:
        (tmp_path / "wheel").mkdir()
        for name in names:
            (tmp_path / "wheel" / name).write_bytes(b"PK")
        return tmp_path

    return fill


@pytest.mark.parametrize(
    ("names", "word"),
    [
        ([], "0 files"),
        (["native-2.0-py3-none-any.whl", "other-1.0-py3-none-any.whl"], "2 files"),
        (["native-2.0.tar.gz"], "no wheel"),
        (["other-2.0-py3-none-any.whl"], "wheel of other"),
        (["native-3.0-py3-none-any.whl"], "native 3.0"),
        (["native-2.0-cp312-cp312-linux_x86_64.whl"], "does not fit"),
    ],
)
def test_anything_but_the_one_wheel_that_was_asked_for_is_refused(
    leave: Callable[..., Path], names: list[str], word: str
) -> None:
    with pytest.raises(ToolError, match=word) as caught:
        WheelBuilder().seal(BUILT, GOOD, leave(*names))
    assert isinstance(caught.value, BuildError) is (word == "does not fit")


def test_a_built_wheel_is_known_by_its_content(leave: Callable[..., Path]) -> None:
    outputs = leave("native-2.0-py3-none-any.whl")
    (content,) = WheelBuilder().seal(BUILT, GOOD, outputs).artifact.contents
    assert content.hashes == (digest_bytes(b"PK"),)


def test_a_wheel_that_was_not_built_is_a_bug_and_not_a_sentence() -> None:
    without: Assembly = replace(ASSEMBLY, wheels={})
    with pytest.raises(ValueError, match="native"):
        VenvBuilder().render(without)
