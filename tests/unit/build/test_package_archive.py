"""What a packager of archives asks for, and what it makes of what a job left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build.bundle import PLAN
from djed.build.interface import Assembly, Builder
from djed.build.package_archive import ArchivePackager
from djed.errors import ToolError, UnsafeError
from djed.model.job import At
from djed.model.request import Environment, File, Run
from djed.model.result import Result
from djed.testing.builder_contract import BuilderContract
from tests.support.packaging import packaging, venv_artifact

NAME = "environment.tar.gz"


class TestArchivePackager(BuilderContract):
    @pytest.fixture
    def builder(self) -> Builder:
        return ArchivePackager()

    @pytest.fixture
    def assembly(self) -> Assembly:
        return packaging(
            Environment(variables={"A": "1"}, files=(File(path="data", content="1"),)),
            run=Run(command=("true",)),
            venv=venv_artifact(),
        )

    @pytest.fixture
    def others(self, assembly: Assembly) -> Mapping[str, Assembly]:
        environment = assembly.environment
        assert assembly.venv is not None
        return {
            "environment": replace(assembly, venv=replace(assembly.venv, digest="sha256:" + "f" * 64)),
            "variable": replace(assembly, environment=replace(environment, variables={"A": "2"})),
            "file": replace(assembly, environment=replace(environment, files=())),
            "command": replace(assembly, run=Run(command=("false",))),
        }

    @pytest.fixture
    def produce(self) -> Callable[[Path], Path]:
        def fill(outputs: Path) -> Path:
            (outputs / "archive").mkdir(parents=True)
            (outputs / "archive" / NAME).write_bytes(b"archive")
            return outputs / "archive"

        return fill


def test_the_environment_is_read_where_it_is() -> None:
    job = ArchivePackager().render(packaging(venv=venv_artifact()))
    assert job.environment == venv_artifact().digest
    assert At(place="env") in job.command
    assert (job.image, job.network, job.tools) == (None, False, True)


def test_the_plan_says_which_python_it_needs() -> None:
    (text,) = [
        file.text
        for file in ArchivePackager().render(packaging(venv=venv_artifact())).files
        if file.path == PLAN
    ]
    plan = json.loads(text or "")
    assert plan["python"] == {"version": "3.11", "path": "/opt/python/3.11/bin/python3.11", "arch": "x86_64"}
    assert plan["description"]["platform"] == "linux-x86_64-glibc2.36"


def test_something_beside_the_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / NAME).write_bytes(b"")
    (tmp_path / "archive/other").write_bytes(b"")
    with pytest.raises(ToolError, match=r"where environment\.tar\.gz should be"):
        ArchivePackager().seal(packaging(), Result(exit_code=0), tmp_path)


def test_a_link_in_place_of_the_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / NAME).symlink_to("/etc/passwd")
    with pytest.raises((ToolError, UnsafeError)):
        ArchivePackager().seal(packaging(), Result(exit_code=0), tmp_path)
