"""What every builder must do: derive from :class:`BuilderContract`, give it the four fixtures, and be done when it is green."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build.interface import Assembly, Builder
from djed.build.manifest import check_manifest
from djed.errors import ToolError, UnsafeError
from djed.model.codec import decode, encode
from djed.model.job import Job
from djed.model.result import Result

__all__ = ["BuilderContract"]

_GOOD = Result(exit_code=0)


class BuilderContract:
    """The contract of :class:`djed.build.interface.Builder`."""

    @pytest.fixture
    def builder(self) -> Builder:
        """The builder under test."""
        raise NotImplementedError

    @pytest.fixture
    def assembly(self) -> Assembly:
        """Something that it can build."""
        raise NotImplementedError

    @pytest.fixture
    def others(self) -> Mapping[str, Assembly]:
        """Assemblies that each differ from ``assembly`` in one thing that must make another artifact, by its name."""
        raise NotImplementedError

    @pytest.fixture
    def produce(self) -> Callable[[Path], Path]:
        """Puts into the given ``outputs`` what a good job of ``assembly`` leaves there, and returns the product's path."""
        raise NotImplementedError

    def test_the_same_assembly_has_the_same_digest(self, builder: Builder, assembly: Assembly) -> None:
        """Also after a way through JSON, as after a restart."""
        again = decode(Assembly, json.loads(json.dumps(encode(assembly))))
        assert builder.digest(assembly) == builder.digest(again)
        assert builder.digest(assembly).startswith("sha256:")

    def test_whatever_goes_in_changes_the_digest(
        self, builder: Builder, assembly: Assembly, others: Mapping[str, Assembly]
    ) -> None:
        """No two of them share one, nor with a salted one."""
        digests = {name: builder.digest(other) for name, other in others.items()}
        digests |= {"": builder.digest(assembly), "salt": builder.digest(replace(assembly, salt="anew"))}
        assert len(set(digests.values())) == len(digests), digests

    def test_limits_and_sandbox_are_no_part_of_the_digest(self, builder: Builder, assembly: Assembly) -> None:
        """They decide whether it can be built, not what comes out."""
        other = replace(assembly, sandbox="none", limits=replace(assembly.limits, timeout=1.0))
        assert builder.digest(other) == builder.digest(assembly)

    def test_rendering_is_repeatable_and_survives_a_restart(
        self, builder: Builder, assembly: Assembly
    ) -> None:
        """The job is a value."""
        job = builder.render(assembly)
        assert builder.render(assembly) == job
        assert decode(Job, json.loads(json.dumps(encode(job)))) == job

    def test_the_job_keeps_to_what_the_assembly_allows(self, builder: Builder, assembly: Assembly) -> None:
        """Limits, sandbox, node and target."""
        job = builder.render(assembly)
        assert (job.limits, job.sandbox) == (assembly.limits, assembly.sandbox)
        assert (job.node, job.target) == (assembly.node.id, assembly.node.target)

    def test_a_job_that_may_run_package_code_has_a_cache_of_its_own(
        self, builder: Builder, assembly: Assembly
    ) -> None:
        """Only an environment, which is made of wheels alone, is built in the shared one; jobs of our own code need none."""
        job = builder.render(assembly)
        assert job.cache == {"build": "shared", "wheel": "private"}.get(job.kind, "none")

    def test_a_product_is_sealed_and_sealed_again(
        self, builder: Builder, assembly: Assembly, produce: Callable[[Path], Path], tmp_path: Path
    ) -> None:
        """With the same outcome: the engine may have died in between."""
        product = produce(tmp_path)
        first, second = (builder.seal(assembly, _GOOD, tmp_path) for _ in range(2))
        assert first == second
        assert first.path == product
        assert (first.artifact.digest, first.artifact.kind) == (builder.digest(assembly), builder.kind)
        assert first.artifact.size > 0
        assert check_manifest(first.path, first.artifact.manifest)

    def test_nothing_is_sealed_where_nothing_was_left(
        self, builder: Builder, assembly: Assembly, tmp_path: Path
    ) -> None:
        """A job can end well and leave nothing."""
        with pytest.raises(ToolError):
            builder.seal(assembly, _GOOD, tmp_path)

    def test_nothing_is_sealed_of_a_job_that_failed(
        self, builder: Builder, assembly: Assembly, produce: Callable[[Path], Path], tmp_path: Path
    ) -> None:
        """Half a product looks like one."""
        produce(tmp_path)
        with pytest.raises(ToolError):
            builder.seal(assembly, Result(exit_code=1), tmp_path)

    def test_a_link_in_place_of_the_product_is_refused(
        self, builder: Builder, assembly: Assembly, produce: Callable[[Path], Path], tmp_path: Path
    ) -> None:
        """What it leads to is not what the job made."""
        outputs, elsewhere = tmp_path / "outputs", tmp_path / "elsewhere"
        outputs.mkdir()
        product = produce(outputs)
        shutil.move(product, elsewhere)
        product.symlink_to(elsewhere)
        with pytest.raises(UnsafeError):
            builder.seal(assembly, _GOOD, outputs)
