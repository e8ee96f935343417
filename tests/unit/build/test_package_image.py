"""What a packager of images asks for, and what it makes of what a job left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djed.build import BuildError
from djed.build.bundle import EPOCH, PLAN
from djed.build.interface import Assembly, Builder
from djed.build.package_image import ImagePackager
from djed.errors import ToolError, UnsafeError
from djed.model.artifact import Artifact
from djed.model.job import Job
from djed.model.request import Environment, File, Run
from djed.model.result import Result
from djed.testing.builder_contract import BuilderContract
from djed.toolbox.layers import TextFile, write_layer
from djed.toolbox.oci import LayerFile, Layout, OciImage, extend, import_image
from tests.support.packaging import base_artifact, packaging, venv_artifact

SCRIPT = File(path="run.py", content="print(1)\n")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of one file."""
    root, place = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("base") / "layout"
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text("ID=tiny\n")
    import_image(root, "rootfs", place, arch="x86_64")
    return place


@pytest.fixture(scope="module")
def below(layout: Path) -> OciImage:
    return Layout(layout).choose("x86_64")


def left(outputs: Path, layout: Path, below: OciImage) -> Path:
    """What a good job leaves: an image without the blobs of its base."""
    outputs.mkdir(exist_ok=True)
    draft = outputs / "draft"
    with draft.open("wb") as file:
        written = write_layer([TextFile(path="/home/djed/a", data=b"a")], file)
    layer = LayerFile(
        path=draft, digest=written.digest, diff_id=written.diff_id, size=written.size, comment="files"
    )
    config = {"Env": {"A": "1"}, "User": "1042"}
    extend(layout, below, [layer], config=config, into=outputs / "image", complete=False)
    draft.unlink()
    return outputs / "image"


class TestImagePackager(BuilderContract):
    @pytest.fixture
    def builder(self) -> Builder:
        return ImagePackager()

    @pytest.fixture
    def assembly(self, below: OciImage) -> Assembly:
        return packaging(
            Environment(variables={"A": "1"}, files=(File(path="data", content="1"),)),
            run=Run(command=("true", "x")),
            image=base_artifact(below),
            venv=venv_artifact(),
        )

    @pytest.fixture
    def others(self, assembly: Assembly) -> Mapping[str, Assembly]:
        environment, other = assembly.environment, "sha256:" + "f" * 64
        assert assembly.image is not None
        assert assembly.venv is not None
        return {
            "image": replace(assembly, image=replace(assembly.image, digest=other)),
            "environment": replace(assembly, venv=replace(assembly.venv, digest=other)),
            "no environment": replace(assembly, venv=None),
            "variable": replace(assembly, environment=replace(environment, variables={"A": "2"})),
            "file": replace(
                assembly, environment=replace(environment, files=(File(path="data", content="2"),))
            ),
            "name": replace(
                assembly, environment=replace(environment, files=(File(path="date", content="1"),))
            ),
            "command": replace(assembly, run=Run(command=("true", "y"))),
            "script": replace(assembly, run=Run(script=SCRIPT)),
            "arguments": replace(assembly, run=Run(script=SCRIPT, arguments=("x",))),
            "nothing": replace(assembly, run=None),
        }

    @pytest.fixture
    def produce(self, layout: Path, below: OciImage) -> Callable[[Path], Path]:
        def fill(outputs: Path) -> Path:
            folder = left(outputs, layout, below)
            for layer in below.layers:
                (folder / layer.blob).hardlink_to(layout / layer.blob)
            return folder

        return fill


def config(assembly: Assembly) -> dict[str, Any]:
    """What the job is told of the image's configuration."""
    job = ImagePackager().render(assembly)
    return dict(plan(job)["config"])


def plan(job: Job) -> dict[str, Any]:
    (text,) = [file.text for file in job.files if file.path == PLAN]
    return dict(json.loads(text or ""))


def image(
    below: OciImage, environment: Environment | None = None, run: Run | None = None, **more: Any
) -> Assembly:
    return packaging(environment, run=run, image=base_artifact(below), **more)


def test_names_of_a_request_are_in_the_plan_alone(below: OciImage) -> None:
    names = ("-n", "plan.json", "a'b\"$x", "ä\\b c")
    job = ImagePackager().render(
        image(below, Environment(files=tuple(File(path=name, content=name) for name in names)))
    )
    assert [file.path for file in job.files] == [PLAN, "0", "1", "2", "3"]
    assert [file["path"] for file in plan(job)["files"]] == list(names)
    assert not any(isinstance(word, str) and set(word) & set("'$\\") for word in job.command)


def test_the_command_is_that_of_a_run_in_place_of_what_the_base_would_run(below: OciImage) -> None:
    found = config(image(below, run=Run(script=SCRIPT, arguments=("a\nb",))))
    assert (found["Entrypoint"], found["Cmd"]) == (None, ["python", "./run.py", "a\nb"])
    found = config(image(below, run=Run(script=replace(SCRIPT, content="#!/bin/sh\n"))))
    assert found["Cmd"] == ["./run.py"]
    assert not {"Cmd", "Entrypoint"} & config(image(below)).keys()


def test_the_environment_comes_first_on_the_path(below: OciImage) -> None:
    def path(environment: Environment, venv: Artifact | None) -> str | None:
        return config(image(below, environment, venv=venv))["Env"].get("PATH")  # type: ignore[no-any-return]

    assert path(Environment(), venv_artifact()) == "/opt/djed/env/bin:/usr/local/bin:/usr/bin:/bin"
    assert path(Environment(variables={"PATH": "/own"}), venv_artifact()) == "/opt/djed/env/bin:/own"
    assert path(Environment(), None) is None, "the base's own holds"


def test_a_path_of_this_machine_is_told_to_nobody(below: OciImage) -> None:
    assembly = image(below)
    assert config(assembly)["Labels"]["org.opencontainers.image.base.name"] == "debian:12"
    assert assembly.image is not None
    assert assembly.image.image is not None
    local = replace(assembly.image, image=replace(assembly.image.image, reference="oci:/home/me/secret"))
    assert "secret" not in json.dumps(config(replace(assembly, image=local)))


@pytest.mark.parametrize(("given", "epoch"), [(None, EPOCH), ("0", 0), ("1700000000", 1_700_000_000)])
def test_the_time_of_files_is_what_is_asked_for(below: OciImage, given: str | None, epoch: int) -> None:
    variables = {} if given is None else {"SOURCE_DATE_EPOCH": given}
    assert plan(ImagePackager().render(image(below, Environment(variables=variables))))["epoch"] == epoch


@pytest.mark.parametrize("given", ["", "now", "-1", "1.5", "99999999999999999999", "٣"])
def test_a_time_that_is_none_is_refused(below: OciImage, given: str) -> None:
    with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH"):
        ImagePackager().render(image(below, Environment(variables={"SOURCE_DATE_EPOCH": given})))


def test_what_rests_on_the_host_is_no_image() -> None:
    with pytest.raises(BuildError, match="rests on this machine") as raised:
        ImagePackager().render(packaging(venv=venv_artifact()))
    assert raised.value.failure.hint


def test_the_blobs_of_the_base_are_its_own_files(tmp_path: Path, layout: Path, below: OciImage) -> None:
    folder = left(tmp_path, layout, below)
    sealed = ImagePackager().seal(image(below, layout=layout), Result(exit_code=0), tmp_path)
    (layer,) = below.layers
    assert (folder / layer.blob).samefile(layout / layer.blob)
    found = sealed.artifact.image
    assert found is not None
    assert (found.variables["A"], found.user, found.reference) == ("1", "1042", "debian:12")
    assert [item.digest for item in found.layers[:1]] == [layer.digest]
    assert (len(found.layers), found.layers[1].created_by) == (2, "files")
    again = ImagePackager().seal(image(below, layout=layout), Result(exit_code=0), tmp_path)
    assert again == sealed


def test_an_image_without_its_base_is_not_sealed(tmp_path: Path, layout: Path, below: OciImage) -> None:
    left(tmp_path, layout, below)
    with pytest.raises(ToolError, match="without its layer"):
        ImagePackager().seal(image(below), Result(exit_code=0), tmp_path)


def test_a_blob_of_another_length_is_refused(tmp_path: Path, layout: Path, below: OciImage) -> None:
    folder = left(tmp_path, layout, below)
    layer = Layout(folder).choose("x86_64").layers[-1]
    with (folder / layer.blob).open("ab") as file:
        file.write(b"more")
    with pytest.raises(UnsafeError, match="not as long"):
        ImagePackager().seal(image(below, layout=layout), Result(exit_code=0), tmp_path)


def test_a_blob_that_is_a_link_is_refused(tmp_path: Path, layout: Path, below: OciImage) -> None:
    folder = left(tmp_path, layout, below)
    (layer,) = below.layers
    (folder / layer.blob).symlink_to("/etc/hostname")
    with pytest.raises(UnsafeError):
        ImagePackager().seal(image(below, layout=layout), Result(exit_code=0), tmp_path)
