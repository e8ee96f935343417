from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import Assembly, Builder
from djed.build.wheel import WheelBuilder
from djed.testing.builder_contract import BuilderContract
from tests.support.assemblies import ASSEMBLY, SOURCE, locked

NAME = "native-2.0-cp311-cp311-linux_x86_64.whl"


class TestWheelBuilder(BuilderContract):
    @pytest.fixture
    def builder(self) -> Builder:
        return WheelBuilder()

    @pytest.fixture
    def assembly(self) -> Assembly:
        return replace(ASSEMBLY, package=SOURCE)

    @pytest.fixture
    def others(self, assembly: Assembly) -> Mapping[str, Assembly]:
        newer = locked("native", "2.1", tag=None, source=True)
        environment = assembly.environment
        return {
            "source": replace(assembly, lock=replace(assembly.lock, packages=(newer,))),
            "python": replace(assembly, interpreter=replace(assembly.interpreter, version="3.11.8")),
            "base": replace(assembly, base="sha256:other"),
            "variables": replace(assembly, environment=replace(environment, variables={"CFLAGS": "-O0"})),
            "date": replace(assembly, environment=replace(environment, exclude_newer="2024-01-01")),
        }

    @pytest.fixture
    def produce(self) -> Callable[[Path], Path]:
        def fill(outputs: Path) -> Path:
            folder = outputs / "wheel"
            folder.mkdir(parents=True)
            (folder / NAME).write_bytes(b"PK")
            return folder

        return fill
