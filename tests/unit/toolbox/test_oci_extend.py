"""Images on others, and images as one file: the same bytes every time."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from djed.errors import UnsafeError
from djed.toolbox.layers import TextFile, write_layer
from djed.toolbox.oci import (
    ImageKind,
    LayerFile,
    OciImage,
    docker_archive,
    extend,
    import_image,
    oci_archive,
    unpack,
)
from tests.support.layouts import CONFIG, LAYER, MANIFEST, TAR, Foreign
from tests.support.tars import state


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


def _import(source: Path, kind: ImageKind, into: Path) -> OciImage:
    image = import_image(source, kind, into, arch="x86_64")
    digests = {image.digest, image.manifest["config"]["digest"], *(layer.digest for layer in image.layers)}
    assert {path.name for path in (into / "blobs/sha256").iterdir()} == {digest[7:] for digest in digests}
    assert {path.name for path in into.iterdir()} == {"blobs", "index.json", "oci-layout"}
    unpack(into, image, into.with_name(into.name + "-root"))
    return image


# --- Extended


@pytest.fixture
def base(foreign: Foreign, tmp_path: Path) -> tuple[Path, OciImage]:
    inner = {"Env": ["PATH=/bin", "A=1"], "Cmd": ["/bin/sh"], "Labels": {"x": "1"}, "User": "me"}
    manifest = {
        "config": foreign.json(
            foreign.config(config=inner, history=[{"created_by": "base"}], docker_version="1"), CONFIG
        ),
        "layers": [foreign.blob(gzip.compress(TAR, mtime=0), LAYER + "+gzip")],
    }
    foreign.index(foreign.json(manifest, MANIFEST))
    return tmp_path / "base", import_image(foreign.folder, "oci", tmp_path / "base", arch="x86_64")


def _layer(path: Path, data: bytes = b"x") -> LayerFile:
    with path.open("wb") as file:
        done = write_layer([TextFile(path="/opt/file", data=data)], file)
    return LayerFile(path=path, digest=done.digest, diff_id=done.diff_id, size=done.size, comment="files")


def test_an_image_on_another(base: tuple[Path, OciImage], tmp_path: Path) -> None:
    folder, image = base
    changes = {"Env": {"A": "2 3", "B": "=\n"}, "Labels": {"y": "2"}, "Cmd": None, "WorkingDir": "/opt"}
    made = [
        extend(
            folder, image, [_layer(tmp_path / f"l{n}")], config=changes, into=tmp_path / f"n{n}", epoch=86400
        )
        for n in range(2)
    ]
    assert made[0] == made[1]
    assert made[0].config["config"] == {
        "Env": ["PATH=/bin", "A=2 3", "B==\n"],
        "Labels": {"x": "1", "y": "2"},
        "User": "me",
        "WorkingDir": "/opt",
    }
    assert made[0].config["created"] == "1970-01-02T00:00:00Z"
    assert [one["created_by"] for one in made[0].config["history"]] == ["base", "files"]
    assert "docker_version" not in made[0].config
    blob = made[0].layers[0].blob
    assert (folder / blob).samefile(tmp_path / "n0" / blob)
    unpack(tmp_path / "n0", made[0], tmp_path / "root")
    assert state(tmp_path / "root")["opt/file"] == b"x"


def test_without_the_blobs_of_its_base(base: tuple[Path, OciImage], tmp_path: Path) -> None:
    folder, image = base
    layer = _layer(tmp_path / "l")
    made = extend(folder, image, [layer], config={}, into=tmp_path / "new", complete=False)
    assert not (tmp_path / "new" / image.layers[0].blob).exists()
    assert made.digest == extend(folder, image, [layer], config={}, into=tmp_path / "whole").digest


def test_a_layer_file_that_was_changed_is_not_copied(
    base: tuple[Path, OciImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    layer = _layer(tmp_path / "l")
    monkeypatch.setattr(os, "link", refuse)
    assert (
        extend(base[0], base[1], [layer], config={}, into=tmp_path / "copied").layers[-1].digest
        == layer.digest
    )
    layer.path.write_bytes(b"changed")
    with pytest.raises(UnsafeError, match="not what its digest"):
        extend(base[0], base[1], [layer], config={}, into=tmp_path / "new")


# --- As one file


def test_archives_are_read_again_and_the_same_every_time(base: tuple[Path, OciImage], tmp_path: Path) -> None:
    folder, _ = base
    image = extend(folder, base[1], [_layer(tmp_path / "l")] * 2, config={}, into=tmp_path / "new")
    (tmp_path / "new/root").mkdir()
    for name in ("docker", "oci"):
        files = []
        for _ in range(2):
            file = io.BytesIO()
            if name == "docker":
                docker_archive(tmp_path / "new", image, "example/x", file)
            else:
                oci_archive(tmp_path / "new", file)
            files.append(file.getvalue())
        assert files[0] == files[1]
        (tmp_path / f"{name}.tar").write_bytes(files[0])
        kind: ImageKind = "docker-archive" if name == "docker" else "oci-archive"
        again = _import(tmp_path / f"{name}.tar", kind, tmp_path / name)
        assert (again.digest == image.digest) == (name == "oci")
        assert (again.config, again.diff_ids) == (image.config, image.diff_ids)


def test_the_tag_of_a_docker_archive(base: tuple[Path, OciImage]) -> None:
    for name, tag in (("x", "x:latest"), ("r.example:5000/x", "r.example:5000/x:latest"), ("x:1", "x:1")):
        file = io.BytesIO()
        docker_archive(base[0], base[1], name, file)
        with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as made:
            listed = made.extractfile("manifest.json")
            assert listed is not None
            assert json.load(listed)[0]["RepoTags"] == [tag]


def test_a_damaged_layout_gives_no_archive(base: tuple[Path, OciImage]) -> None:
    blob = base[0] / base[1].layers[0].blob
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UnsafeError, match="not what its digest"):
        docker_archive(base[0], base[1], "x", io.BytesIO())
    with pytest.raises(UnsafeError, match="not what its digest"):
        oci_archive(base[0], io.BytesIO())
