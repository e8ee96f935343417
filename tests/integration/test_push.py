"""Artifacts brought to files, to engines and to a registry."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.errors import ConflictError, DjedError, MissingPartError, ToolError
from djed.model.artifact import Artifact, ArtifactKind
from djed.service.push import push, read_destination
from djed.toolbox.layers import TextFile, write_layer
from djed.toolbox.oci import LayerFile, Layout, extend, import_image
from tests.support.docker import daemon
from tests.support.images import tiny_root
from tests.support.packaging import base_artifact
from tests.support.podman import podman
from tests.support.registry import registry


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """An image that prints a line, in a folder whose name has a colon."""
    import_image(tiny_root(tmp_path / "tiny"), "rootfs", tmp_path / "base", arch="x86_64")
    draft, place = tmp_path / "layer", tmp_path / "an: image"
    with draft.open("wb") as file:
        written = write_layer([TextFile(path="/home/djed/a", data=b"hello\n")], file)
    layer = LayerFile(path=draft, digest=written.digest, diff_id=written.diff_id, size=written.size)
    below = Layout(tmp_path / "base").choose("x86_64")
    extend(tmp_path / "base", below, [layer], config={"Cmd": ["cat", "/home/djed/a"]}, into=place)
    return place


@pytest.fixture
def image(files: Path) -> Artifact:
    return base_artifact(Layout(files).choose("x86_64"))


def one_file(folder: Path, kind: ArtifactKind, name: str) -> Artifact:
    folder.mkdir()
    (folder / name).write_bytes(b"content")
    return Artifact(digest="sha256:" + "a" * 64, kind=kind, path="", size=7, manifest="")


def inspected(place: str) -> dict[str, object]:
    done = subprocess.run(
        ["skopeo", "inspect", place], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.needs("skopeo")
def test_a_layout_is_a_copy_that_keeps_its_digest(files: Path, image: Artifact, tmp_path: Path) -> None:
    push(files, image, read_destination(f"oci:{tmp_path}/new:v1", image))
    assert image.image is not None
    assert inspected(f"oci:{tmp_path}/new:v1")["Digest"] == image.image.digest
    for path in (tmp_path / "new/blobs/sha256").iterdir():
        assert path.stat().st_nlink == 1, "who owns the folder may write to it"


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("way", ["oci-archive", "docker-archive"])
def test_an_archive_is_what_others_read(files: Path, image: Artifact, tmp_path: Path, way: str) -> None:
    done = push(files, image, read_destination(f"{way}:{tmp_path}/image.tar", image))
    assert (done.destination, done.size) == (f"{tmp_path}/image.tar", (tmp_path / "image.tar").stat().st_size)
    assert inspected(f"{way}:{tmp_path}/image.tar")["Architecture"] == "amd64"


@pytest.mark.parametrize("to", ["oci:{}/there", "oci-archive:{}/there", "docker-archive:{}/there"])
def test_nothing_is_overwritten_but_on_request(files: Path, image: Artifact, tmp_path: Path, to: str) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    destination = read_destination(to.format(tmp_path), image)
    with pytest.raises(ConflictError, match="there already"):
        push(files, image, destination)
    assert there.read_text() == "mine"
    if destination.way == "oci":
        with pytest.raises(ConflictError, match="no image layout"):
            push(files, image, destination, force=True)
        there.unlink()
        push(files, image, destination)
    push(files, image, destination, force=True)
    assert there.exists()
    assert not list(tmp_path.glob(".there*")), "no draft is left"


def test_a_folder_that_is_no_layout_is_never_removed(files: Path, image: Artifact, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis").write_text("mine")
    with pytest.raises(ConflictError, match="no image layout"):
        push(files, image, read_destination(f"oci:{tmp_path}/home", image), force=True)
    assert (tmp_path / "home/thesis").read_text() == "mine"


def test_any_other_artifact_is_its_file(tmp_path: Path) -> None:
    artifact = one_file(tmp_path / "files", "archive", "environment.tar.gz")
    to = read_destination(f"{tmp_path}/a b.tar.gz", artifact)
    assert push(tmp_path / "files", artifact, to).size == 7
    assert (tmp_path / "a b.tar.gz").read_bytes() == b"content"
    with pytest.raises(ConflictError):
        push(tmp_path / "files", artifact, to)


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    artifact = one_file(tmp_path / "files", "sif", "image.sif")
    (tmp_path / "files/image.sif").unlink()
    (tmp_path / "files/image.sif").symlink_to("/etc/passwd")
    with pytest.raises(DjedError):
        push(tmp_path / "files", artifact, read_destination(f"{tmp_path}/a.sif", artifact))
    assert not (tmp_path / "a.sif").exists()


def test_a_folder_that_is_not_there_is_said_in_a_sentence(
    files: Path, image: Artifact, tmp_path: Path
) -> None:
    for to in ("oci:{}/no/dir", "oci-archive:{}/no/file"):
        with pytest.raises(DjedError, match="cannot be written: No such file"):
            push(files, image, read_destination(to.format(tmp_path), image))


def test_without_skopeo_it_says_how_else(
    files: Path, image: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingPartError) as raised:
        push(files, image, read_destination("registry.example/app:1", image))
    assert "docker-archive:" in (raised.value.hint or "")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    with registry(tmp_path / "registry") as host:
        yield host


@pytest.mark.needs("skopeo", "registry")
def test_a_registry_keeps_the_digest(files: Path, image: Artifact, host: str, tmp_path: Path) -> None:
    # First, for a registry is not sent a layer anew that it has.
    smaller = push(
        files, image, read_destination(f"{host}/team/app:small", image), insecure=True, compress=True
    )
    done = push(files, image, read_destination(f"{host}/team/app:1", image), insecure=True)
    assert image.image is not None
    assert smaller.digest not in {None, image.image.digest}
    assert (done.destination, done.digest) == (f"{host}/team/app:1", image.image.digest)
    source = f"docker://{host}/team/app@{done.digest}"
    subprocess.run(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--preserve-digests",
            "--src-tls-verify=false",
            source,
            f"oci:{tmp_path}/back:1",
        ],
        check=True,
        timeout=60,
    )
    assert Layout(tmp_path / "back").choose("x86_64").digest == image.image.digest


@pytest.mark.needs("skopeo", "registry")
def test_what_a_registry_refuses_is_said_with_a_hint(files: Path, image: Artifact, host: str) -> None:
    with pytest.raises(ToolError, match="could not be brought") as raised:
        push(files, image, read_destination(f"{host}/team/app:1", image))
    assert "--insecure" in (raised.value.hint or "")
    with pytest.raises(ToolError, match="could not be brought"):
        push(files, image, read_destination("127.0.0.1:1/app:1", image), insecure=True)


@pytest.mark.needs("skopeo", "dockerd", "root")
def test_docker_runs_what_was_brought_to_it(
    files: Path, image: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    with daemon() as docker:
        monkeypatch.setenv("DOCKER_HOST", docker.host)
        push(files, image, read_destination("docker-daemon:team/app:1", image))
        assert docker.ask("run", "--rm", "--network", "none", "team/app:1") == "hello"


@pytest.mark.needs("podman")
def test_podman_runs_an_archive_by_its_name(files: Path, image: Artifact, tmp_path: Path) -> None:
    push(files, image, read_destination(f"docker-archive:{tmp_path}/a.tar:team/app:1", image))
    push(files, image, read_destination(f"oci-archive:{tmp_path}/b.tar:team/other:1", image))
    with podman() as engine:
        for name in ("a.tar", "b.tar"):
            engine.call("load", "--quiet", "--input", str(tmp_path / name))
        assert engine.run("localhost/team/app:1") == b"hello\n"
        assert engine.run("localhost/team/other:1") == b"hello\n"
