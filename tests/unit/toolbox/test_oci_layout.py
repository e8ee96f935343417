"""Layouts: the image that is wanted is found, and nothing in them is believed before it is checked."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from djed.errors import DjedError, RefusedError, UnreadableError, UnsafeError
from djed.toolbox.archive import Caps
from djed.toolbox.oci import (
    Layout,
    import_image,
    platform_of,
    unpack,
)
from tests.support.layouts import CONFIG, DOCKER, INDEX, LAYER, MANIFEST, OCI, TAR, Foreign, digest_of
from tests.support.tars import END, entry


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


def _platform(architecture: str, variant: str | None = None) -> dict[str, Any]:
    return {
        "platform": {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
    }


# --- Which one


def test_the_one_for_the_machine_is_chosen_from_nested_indexes(foreign: Foreign) -> None:
    wanted = foreign.image("arm64", **_platform("arm64", "v8"))
    note = foreign.json({"schemaVersion": 2}, MANIFEST, platform={"os": "unknown", "architecture": "unknown"})
    # Those for other machines need not be there at all.
    absent = {"mediaType": MANIFEST, "digest": digest_of(b"absent"), "size": 6, **_platform("amd64")}
    inner = foreign.json({"manifests": [wanted, absent, note]}, INDEX)
    layout = Layout(
        foreign.index(foreign.json({"manifests": [inner]}, DOCKER + "distribution.manifest.list.v2+json"))
    )
    image = layout.choose("aarch64")
    assert (image.digest, image.arch) == (wanted["digest"], "aarch64")
    assert image.diff_ids == (digest_of(TAR),)


def test_without_a_platform_the_configuration_says_it(foreign: Foreign) -> None:
    one, other = foreign.image("amd64"), foreign.image("s390x")
    foreign.index(one, other, one, foreign.json({"config": foreign.json({}, "application/x.helm")}, MANIFEST))
    assert Layout(foreign.folder).choose("s390x").digest == other["digest"]
    assert Layout(foreign.folder).choose("x86_64").digest == one["digest"]


def test_the_plain_variant_is_preferred(foreign: Foreign) -> None:
    plain, fast = (
        foreign.image(label="a", **_platform("amd64")),
        foreign.image(label="b", **_platform("amd64", "v3")),
    )
    assert Layout(foreign.index(fast, plain)).choose("x86_64").digest == plain["digest"]
    assert Layout(foreign.index(fast)).choose("x86_64").digest == fast["digest"]


def test_another_machine_is_refused_with_both_named(foreign: Foreign) -> None:
    foreign.index(foreign.image("arm64"), foreign.image("s390x", **_platform("s390x")))
    with pytest.raises(RefusedError, match="for linux/arm64, linux/s390x, but linux/amd64 is needed"):
        Layout(foreign.folder).choose("x86_64")


def test_an_index_that_lies_about_the_machine_is_found_out(foreign: Foreign) -> None:
    foreign.index(foreign.image("arm64", **_platform("amd64")))
    with pytest.raises(RefusedError, match="for linux/arm64, but linux/amd64"):
        Layout(foreign.folder).choose("x86_64")


def test_several_that_fit_are_refused_by_name(foreign: Foreign) -> None:
    foreign.index(
        foreign.image(label="a", annotations={"org.opencontainers.image.ref.name": "one"}),
        foreign.image(label="b", annotations={"io.containerd.image.name": "example/two:1"}),
    )
    with pytest.raises(RefusedError, match=r"2 images for linux/amd64: 'example/two:1', 'one'") as refused:
        Layout(foreign.folder).choose("x86_64")
    assert "skopeo copy" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("arch", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "arm"), ("riscv64", "riscv64")]
)
def test_machines_are_called_otherwise_in_images(arch: str, name: str) -> None:
    assert platform_of(arch).architecture == name


# --- What is wrong with it


def _damage(change: Callable[[Foreign, dict[str, Any]], None]) -> Callable[[Foreign], None]:
    """An image, after something has been changed about its manifest."""

    def make(foreign: Foreign) -> None:
        descriptor = foreign.image()
        manifest = json.loads((foreign.folder / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
        change(foreign, manifest)
        foreign.index(foreign.json(manifest, MANIFEST, **_platform("amd64")))

    return make


def _reconfigured(value: Any) -> Callable[[Foreign], None]:
    return _damage(lambda foreign, manifest: manifest.update(config=foreign.json(value, CONFIG)))


def _blob_of(foreign: Foreign, descriptor: dict[str, Any]) -> Path:
    return foreign.folder / "blobs" / str(descriptor["digest"]).replace(":", "/")


_WRONG: dict[str, tuple[type[DjedError], str, Callable[[Foreign], object]]] = {
    "no index": (UnreadableError, "lacks its 'index.json'", lambda f: None),
    "index no JSON": (
        UnreadableError,
        "index.json is no JSON",
        lambda f: (f.folder / "index.json").write_text("{"),
    ),
    "index too deep": (
        UnreadableError,
        "is no JSON",
        lambda f: (f.folder / "index.json").write_text("[" * 100_000),
    ),
    "index of another shape": (
        UnreadableError,
        "lists no manifests",
        lambda f: (f.folder / "index.json").write_text("[]"),
    ),
    "index too long": (
        UnsafeError,
        "more than",
        lambda f: (f.folder / "index.json").write_bytes(bytes(5 * 2**20)),
    ),
    "index a link": (
        UnsafeError,
        "cannot be opened",
        lambda f: (f.folder / "index.json").symlink_to("/etc/passwd"),
    ),
    "index a pipe": (UnsafeError, "no regular file", lambda f: os.mkfifo(f.folder / "index.json")),
    "nothing in it": (RefusedError, "for nothing", lambda f: f.index()),
    "descriptor": (UnreadableError, "descriptor", lambda f: f.index("x")),
    "digest": (
        UnreadableError,
        "no sha256 digest",
        lambda f: f.index({"mediaType": MANIFEST, "digest": "sha256:../../x", "size": 1}),
    ),
    "size": (
        UnreadableError,
        "about the size",
        lambda f: f.index({"mediaType": MANIFEST, "digest": digest_of(b""), "size": True}),
    ),
    "missing manifest": (
        UnreadableError,
        "lacks its blob",
        lambda f: f.index({"mediaType": MANIFEST, "digest": digest_of(b""), "size": 0}),
    ),
    "manifest too long": (
        UnsafeError,
        "at most",
        lambda f: f.index(f.blob(b" " * 5 * 2**20, MANIFEST)),
    ),
    "too many": (
        UnreadableError,
        "lists no manifests",
        lambda f: f.index(
            *[{"mediaType": MANIFEST, "digest": digest_of(b"%d" % n), "size": 0} for n in range(1025)]
        ),
    ),
    "zstd": (
        UnreadableError,
        "zstd",
        _damage(lambda f, m: m["layers"][0].update(mediaType=LAYER + "+zstd")),
    ),
    "foreign layer": (
        UnreadableError,
        "unknown type",
        _damage(lambda f, m: m["layers"][0].update(mediaType=OCI + "layer.nondistributable.v1.tar")),
    ),
    "no image": (
        UnreadableError,
        "not of an image",
        _damage(lambda f, m: m["config"].update(mediaType="x/y")),
    ),
    "layers": (UnreadableError, "no layers", _damage(lambda f, m: m.update(layers={}))),
    "more layers": (UnsafeError, "lists 2 layers", _damage(lambda f, m: m.update(layers=m["layers"] * 2))),
    "config no object": (UnreadableError, "cannot be read", _reconfigured([])),
    "config without layers": (
        UnreadableError,
        "lists no layers",
        _reconfigured({"os": "linux", "architecture": "amd64"}),
    ),
    "config without machine": (UnreadableError, "what machine", _reconfigured({"rootfs": {"diff_ids": []}})),
    "Env": (
        UnreadableError,
        "Env in",
        lambda f: _reconfigured(f.config(config={"Env": {"A": 1}}))(f),
    ),
    "Labels": (UnreadableError, "Labels in", lambda f: _reconfigured(f.config(config={"Labels": ["x"]}))(f)),
    "history": (UnreadableError, "cannot be read", lambda f: _reconfigured(f.config(history={}))(f)),
}


@pytest.mark.parametrize("what", _WRONG)
def test_what_is_wrong_is_said(what: str, foreign: Foreign) -> None:
    kind, words, make = _WRONG[what]
    make(foreign)
    with pytest.raises(kind, match=words):
        Layout(foreign.folder).choose("x86_64")


@pytest.mark.parametrize("what", ["changed", "longer", "gone", "a link"])
@pytest.mark.parametrize("which", ["layers", "config"])
def test_blobs_that_are_not_what_they_should_be_are_never_taken(
    what: str, which: str, foreign: Foreign, tmp_path: Path
) -> None:
    descriptor = foreign.image()
    manifest = json.loads(_blob_of(foreign, descriptor).read_text())
    blob = _blob_of(foreign, manifest["layers"][0] if which == "layers" else manifest["config"])
    data = blob.read_bytes()
    blob.unlink()
    if what == "changed":
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif what == "longer":
        blob.write_bytes(data + b" ")
    elif what == "a link":
        (tmp_path / "elsewhere").write_bytes(data)
        blob.symlink_to(tmp_path / "elsewhere")
    foreign.index(descriptor)
    with pytest.raises((UnsafeError, UnreadableError), match=blob.name):
        import_image(foreign.folder, "oci", tmp_path / "into", arch="x86_64")
    assert not (tmp_path / "into/index.json").exists()


def test_a_layer_that_is_another_one_without_compression_is_found_out(
    foreign: Foreign, tmp_path: Path
) -> None:
    config = foreign.config(tars=(b"another",))
    manifest = {
        "config": foreign.json(config, CONFIG),
        "layers": [foreign.blob(gzip.compress(TAR), LAYER + "+gzip")],
    }
    layout = foreign.index(foreign.json(manifest, MANIFEST))
    with pytest.raises(UnsafeError, match="not what its digest"):
        unpack(layout, Layout(layout).choose("x86_64"), tmp_path / "root")


def test_the_caps_are_those_of_the_whole_image(foreign: Foreign, tmp_path: Path) -> None:
    tars = (entry(b"a", b"x" * 60) + END, entry(b"b", b"x" * 60) + END)
    layers = [foreign.blob(tar, LAYER) for tar in tars]
    layout = foreign.index(
        foreign.json({"config": foreign.json(foreign.config(tars=tars), CONFIG), "layers": layers}, MANIFEST)
    )
    with pytest.raises(UnsafeError, match="bytes"):
        unpack(layout, Layout(layout).choose("x86_64"), tmp_path / "root", caps=Caps(size=100))
