"""Images from outside become a clean layout of their own."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from djed.errors import ConflictError, DjedError, RefusedError, UnreadableError, UnsafeError
from djed.toolbox.oci import (
    ImageKind,
    OciImage,
    import_image,
    unpack,
)
from tests.support.layouts import CONFIG, DOCKER, LAYER, MANIFEST, TAR, Foreign, digest_of
from tests.support.tars import END, entry, state


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


# --- Brought in


def _import(source: Path, kind: ImageKind, into: Path) -> OciImage:
    image = import_image(source, kind, into, arch="x86_64")
    digests = {image.digest, image.manifest["config"]["digest"], *(layer.digest for layer in image.layers)}
    assert {path.name for path in (into / "blobs/sha256").iterdir()} == {digest[7:] for digest in digests}
    assert {path.name for path in into.iterdir()} == {"blobs", "index.json", "oci-layout"}
    unpack(into, image, into.with_name(into.name + "-root"))
    return image


def test_a_layout_keeps_its_digest_and_loses_the_rest(foreign: Foreign, tmp_path: Path) -> None:
    descriptor = foreign.image()
    foreign.image("arm64")
    (foreign.folder / "blobs/stray").write_text("x")
    image = _import(foreign.index(descriptor), "oci", tmp_path / "into")
    assert image.digest == descriptor["digest"]
    assert state(tmp_path / "into-root") == {"etc": "folder", "etc/os-release": b"ID=tiny\n"}
    assert image.size == sum(path.stat().st_size for path in (tmp_path / "into/blobs/sha256").iterdir())


def test_a_docker_image_is_said_in_other_words(foreign: Foreign, tmp_path: Path) -> None:
    config = foreign.json(foreign.config(), DOCKER + "container.image.v1+json")
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER + "distribution.manifest.v2+json",
        "config": config,
        "layers": [foreign.blob(gzip.compress(TAR), DOCKER + "image.rootfs.diff.tar.gzip")],
    }
    foreign.index(foreign.json(manifest, DOCKER + "distribution.manifest.v2+json"))
    image = _import(foreign.folder, "oci", tmp_path / "into")
    assert image.manifest["mediaType"] == MANIFEST
    assert image.manifest["config"]["mediaType"] == CONFIG
    assert image.layers[0].media_type == LAYER + "+gzip"
    assert image.manifest["config"]["digest"] == config["digest"]


def test_a_manifest_needs_no_type_of_its_own(foreign: Foreign, tmp_path: Path) -> None:
    manifest = {
        "schemaVersion": 2,
        "config": foreign.json(foreign.config(), CONFIG),
        "layers": [foreign.blob(TAR, LAYER)],
    }
    descriptor = foreign.json(manifest, MANIFEST)
    assert _import(foreign.index(descriptor), "oci", tmp_path / "into").digest == descriptor["digest"]


def _archive(path: Path, files: dict[str, bytes | str]) -> Path:
    """A tar in which text is a link."""
    with tarfile.open(path, "w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                made.addfile(info)
            else:
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
    return path


def _saved(tars: list[bytes], layers: list[str], *, architecture: str = "amd64") -> dict[str, bytes | str]:
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"diff_ids": [digest_of(tar) for tar in tars]},
    }
    listed = [{"Config": "c.json", "RepoTags": ["x:1"], "Layers": layers}]
    return {"c.json": json.dumps(config).encode(), "manifest.json": json.dumps(listed).encode()}


def test_docker_save_in_its_old_form(tmp_path: Path) -> None:
    files = _saved([TAR, TAR, TAR], ["1/layer.tar", "2/layer.tar", "3.tar"])
    files |= {
        "1/layer.tar": TAR,
        "2/layer.tar": "../1/layer.tar",
        "3.tar": gzip.compress(TAR),
        "repositories": b"{}",
    }
    image = _import(_archive(tmp_path / "saved.tar", files), "docker-archive", tmp_path / "into")
    assert len(image.layers) == 3
    assert {layer.digest for layer in image.layers} == {digest_of(TAR)}


def test_docker_save_in_its_new_form(foreign: Foreign, tmp_path: Path) -> None:
    descriptor = foreign.image(annotations={"io.containerd.image.name": "docker.example/x:1"})
    foreign.index(descriptor)
    files: dict[str, bytes | str] = {
        str(path.relative_to(foreign.folder)): path.read_bytes()
        for path in foreign.folder.rglob("*")
        if path.is_file()
    }
    files["manifest.json"] = b"[]"
    archive = _archive(tmp_path / "saved.tar", files)
    assert _import(archive, "docker-archive", tmp_path / "into").digest == descriptor["digest"]
    assert _import(archive, "oci-archive", tmp_path / "again").digest == descriptor["digest"]


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        (_saved([TAR], ["1.tar"]), UnreadableError, "lacks its The layer '1.tar'"),
        (_saved([TAR], ["1.tar"]) | {"1.tar": TAR + bytes(512)}, UnsafeError, "not what its digest"),
        (_saved([TAR], ["../1.tar"]), UnsafeError, "no path inside"),
        (_saved([TAR], ["/etc/passwd"]), UnsafeError, "no path inside"),
        (_saved([TAR], []), UnreadableError, "different layers"),
        (
            _saved([TAR], ["1.tar"], architecture="arm64") | {"1.tar": TAR},
            RefusedError,
            "arm64, but linux/amd64",
        ),
        ({"manifest.json": b"[]"}, UnreadableError, "lists no images"),
        ({"manifest.json": b"[3]"}, UnreadableError, "lists no images"),
        ({}, UnreadableError, "'manifest.json'"),
    ],
)
def test_damaged_docker_archives(
    files: dict[str, bytes | str], kind: type[DjedError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        import_image(
            _archive(tmp_path / "saved.tar", files), "docker-archive", tmp_path / "into", arch="x86_64"
        )
    assert not list((tmp_path / "into").glob(".unpacked-*"))


def test_several_images_in_a_docker_archive_are_refused_by_name(tmp_path: Path) -> None:
    one, two = _saved([TAR], ["1.tar"]), _saved([TAR, TAR], ["1.tar", "1.tar"])
    listed = [
        {"Config": name, "RepoTags": tags, "Layers": ["1.tar"]}
        for name, tags in (("1.json", ["a:1"]), ("2.json", None))
    ]
    files = {"1.json": one["c.json"], "2.json": two["c.json"], "manifest.json": json.dumps(listed).encode()}
    with pytest.raises(RefusedError, match=r"2 images in the archive: a:1, without a name"):
        import_image(
            _archive(tmp_path / "saved.tar", files), "docker-archive", tmp_path / "into", arch="x86_64"
        )


@pytest.mark.parametrize("form", ["plain", "gzip", "bzip2", "xz", "folder"])
def test_root_file_systems(form: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    squeeze: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    if form == "folder":
        (source / "etc").mkdir(parents=True)
        (source / "etc/os-release").write_text("ID=tiny\n")
    else:
        source.write_bytes(squeeze[form](TAR))
    image = _import(source, "rootfs", tmp_path / "into")
    assert state(tmp_path / "into-root") == {"etc": "folder", "etc/os-release": b"ID=tiny\n"}
    assert image.config["architecture"] == "amd64"
    assert image.digest == import_image(source, "rootfs", tmp_path / "again", arch="x86_64").digest


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(50), "zstd"),
        (entry(b"../x", b"") + END, "'\\.\\./x'"),
        (TAR[:-1024], "truncated"),
        (b"no tar", "truncated"),
    ],
)
def test_roots_that_are_no_archive(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(data)
    with pytest.raises((UnsafeError, UnreadableError), match=words):
        import_image(tmp_path / "root.tar", "rootfs", tmp_path / "into", arch="x86_64")
    assert not list((tmp_path / "into/blobs/sha256").iterdir())


def test_what_is_not_there_or_there_already(tmp_path: Path, foreign: Foreign) -> None:
    with pytest.raises(UnreadableError, match="There is no"):
        import_image(tmp_path / "none", "oci", tmp_path / "into", arch="x86_64")
    foreign.index(foreign.image())
    with pytest.raises(ConflictError):
        import_image(foreign.folder, "oci", foreign.folder, arch="x86_64")
