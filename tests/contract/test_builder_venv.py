from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build import Assembly, Builder
from djed.build.venv import VenvBuilder
from djed.testing.builder_contract import BuilderContract
from tests.support.assemblies import ASSEMBLY, install, locked


class TestVenvBuilder(BuilderContract):
    @pytest.fixture
    def builder(self) -> Builder:
        return VenvBuilder()

    @pytest.fixture
    def assembly(self) -> Assembly:
        return ASSEMBLY

    @pytest.fixture
    def others(self) -> Mapping[str, Assembly]:
        lock, native = ASSEMBLY.lock, ASSEMBLY.lock.packages[1]
        return {
            "version": replace(ASSEMBLY, lock=replace(lock, packages=(locked("app", "1.1"), native))),
            "hash": replace(
                ASSEMBLY, lock=replace(lock, packages=(locked("app", "1.0", tag="cp311-abi3-any"), native))
            ),
            "base": replace(ASSEMBLY, base="sha256:other"),
            "python": replace(ASSEMBLY, interpreter=replace(ASSEMBLY.interpreter, version="3.11.8")),
            "path": replace(ASSEMBLY, interpreter=replace(ASSEMBLY.interpreter, path="/usr/bin/python3.11")),
            "wheel": replace(
                ASSEMBLY, wheels={"native": replace(ASSEMBLY.wheels["native"], digest="sha256:f")}
            ),
        }

    @pytest.fixture
    def produce(self) -> Callable[[Path], Path]:
        def fill(outputs: Path) -> Path:
            install(outputs / "venv", ("app", "1.0"), ("native", "2.0"))
            return outputs / "venv"

        return fill
