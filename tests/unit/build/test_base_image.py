"""The builder of bases, without a job: what it renders, and what it makes of what a job left, hostile or not."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djed.build.base import INSECURE_REGISTRIES
from djed.build.base_image import BaseBuilder
from djed.build.interface import Assembly
from djed.build.manifest import check_manifest
from djed.errors import DjedError, ToolError, UnsafeError
from djed.model.job import At
from djed.model.request import Environment
from djed.model.result import Result
from djed.toolbox.oci import import_image
from tests.support.assemblies import ASSEMBLY

ARCH = platform.machine()
DONE = Result(exit_code=0)
NAME = "registry.example/team/debian:12"


def asking(base: str, **fields: Any) -> Assembly:
    node = replace(ASSEMBLY.node, hardware=replace(ASSEMBLY.node.hardware, arch=ARCH))
    return replace(ASSEMBLY, environment=Environment(base=base), node=node, **fields)


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a job leaves that went well."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    root = tmp_path / "made"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=tiny\n")
    image = import_image(root, "rootfs", outputs / "image", arch=ARCH)
    (outputs / "image/root/etc").mkdir(parents=True)
    facts = {
        "schema": 1,
        "digest": image.digest,
        "os": "tiny",
        "package_manager": "apt",
        "interpreters": [{"path": "/usr/bin/python3.11", "version": "3.11.2", "prefix": "/usr"}],
        "native": [{"kind": "deb", "name": "a", "version": "1", "arch": "amd64"}],
    }
    (outputs / "facts.json").write_text(json.dumps(facts))
    return outputs


def seal(outputs: Path) -> Any:
    return BaseBuilder().seal(asking("oci:/x"), DONE, outputs).artifact


def test_a_question_is_the_reference_the_machine_and_the_state_of_the_file() -> None:
    questions = [
        asking(NAME),
        asking(NAME, stamp="1"),
        asking(NAME, salt="x"),
        asking("oci:/x"),
        replace(asking(NAME), node=ASSEMBLY.node),
    ]
    if ASSEMBLY.node.hardware.arch == ARCH:
        questions.pop()
    digests = {BaseBuilder().digest(one) for one in questions}
    assert len(digests) == len(questions)
    assert BaseBuilder().digest(asking(NAME)) in digests


def test_what_lies_on_the_machine_is_read_in_a_sandbox_without_network() -> None:
    job = BaseBuilder().render(asking("docker-archive:/data/base.tar", stamp="/data/base.tar:1"))
    assert (job.kind, job.source, job.network, job.engine, job.tools) == (
        "base",
        "/data/base.tar",
        False,
        False,
        True,
    )
    assert job.command[4:] == ("base", "docker-archive", At(place="source"), At(place="outputs"), ARCH)


def test_a_folder_is_read_outside_for_its_owners_count() -> None:
    assert BaseBuilder().render(asking("rootfs:/data/root", stamp="sha256:ab")).engine
    assert not BaseBuilder().render(asking("rootfs:/data/root.tar", stamp="/data/root.tar:1")).engine


def test_a_name_is_fetched_by_an_engine_or_over_the_network() -> None:
    job = BaseBuilder().render(
        asking(NAME, settings={INSECURE_REGISTRIES: "registry.example", "UV_INDEX": "x"})
    )
    assert (job.source, job.network, job.engine) == (None, True, True)
    assert job.command[5:7] == ("name", NAME)
    assert job.variables == {INSECURE_REGISTRIES: "registry.example"}


def test_what_a_job_left_is_sealed(left: Path) -> None:
    artifact = seal(left)
    image = artifact.image
    assert (artifact.kind, artifact.path) == ("image", f"image/{artifact.digest[7:]}")
    assert (image.reference, image.arch, image.os, image.package_manager) == ("oci:/x", ARCH, "tiny", "apt")
    assert [item.path for item in image.interpreters] == ["/usr/bin/python3.11"]
    assert [item.name for item in image.native] == ["a"]
    assert image.variables["PATH"]
    assert [layer.created_by for layer in image.layers] == ["a root file system"]
    assert check_manifest(left / "image", artifact.manifest, "image")
    (left / "image/root/etc/file").write_text("of the unpacked root")
    assert check_manifest(left / "image", artifact.manifest, "image")
    (left / "image/blobs/more").write_text("changed")
    assert not check_manifest(left / "image", artifact.manifest, "image")


def test_the_same_image_under_another_name_is_another_artifact(left: Path) -> None:
    builder = BaseBuilder()
    assert seal(left).digest == seal(left).digest
    assert seal(left).digest != builder.seal(asking("oci:/y"), DONE, left).artifact.digest


def test_nothing_is_sealed_of_a_job_that_failed(left: Path) -> None:
    with pytest.raises(ToolError):
        BaseBuilder().seal(asking("oci:/x"), Result(exit_code=1), left)


def changed(**fields: Any) -> Callable[[Path], None]:
    def change(outputs: Path) -> None:
        facts = json.loads((outputs / "facts.json").read_text())
        (outputs / "facts.json").write_text(json.dumps(facts | fields))

    return change


def without(path: str) -> Callable[[Path], None]:
    def change(outputs: Path) -> None:
        subprocess.run(["rm", "-r", outputs / path], check=True)

    return change


def written(path: str, data: bytes) -> Callable[[Path], None]:
    def change(outputs: Path) -> None:
        (outputs / path).write_bytes(data)

    return change


def linked(path: str) -> Callable[[Path], None]:
    def change(outputs: Path) -> None:
        (outputs / path).rename(outputs.parent / "elsewhere")
        (outputs / path).symlink_to(outputs.parent / "elsewhere")

    return change


HOSTILE: dict[str, Callable[[Path], None]] = {
    "no facts": without("facts.json"),
    "no image": without("image"),
    "no root": without("image/root"),
    "no index": without("image/index.json"),
    "facts are a link": linked("facts.json"),
    "image is a link": linked("image"),
    "root is a link": linked("image/root"),
    "index is a link": linked("image/index.json"),
    "blobs are a link": linked("image/blobs"),
    "facts are no JSON": written("facts.json", b"{" * 100_000),
    "facts are huge": written("facts.json", b" " * (33 * 2**20)),
    "facts are a list": written("facts.json", b"[]"),
    "another schema": changed(schema=2),
    "package manager": changed(package_manager="rm -rf"),
    "os is a number": changed(os=5),
    "os is long": changed(os="x" * 5000),
    "libc with a zero": changed(libc="a\0b"),
    "interpreter is a text": changed(interpreters=["/usr/bin/python"]),
    "interpreter without a version": changed(interpreters=[{"path": "/p", "prefix": "/"}]),
    "interpreter of no root": changed(interpreters=[{"path": "p", "version": "3", "prefix": "/"}]),
    "native is a mapping": changed(native={"a": "1"}),
    "native without a name": changed(native=[{"kind": "deb", "version": "1"}]),
    "native of no kind": changed(native=[{"kind": "exe", "name": "a", "version": "1"}]),
    "too many": changed(native=[1] * 100_001),
    "index is damaged": written("image/index.json", b'{"manifests": 5}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hostile_job_left_is_refused(left: Path, name: str) -> None:
    HOSTILE[name](left)
    with pytest.raises((UnsafeError, ToolError)) as caught:
        seal(left)
    assert isinstance(caught.value, DjedError)


def test_a_variable_that_cannot_be_one_is_left_out(left: Path) -> None:
    index = json.loads((left / "image/index.json").read_text())
    assert index["manifests"]
    from djed.build.image_facts import _variables

    assert _variables(["A=1", "no equals", "=x", "B=a\0b", 5, "C=" + "x" * 200_000, "D="]) == {
        "A": "1",
        "D": "",
    }
    assert _variables("A=1") == {}
