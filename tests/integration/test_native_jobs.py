"""Native packages, installed for real by each engine on a Debian base, and what cannot be installed."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build.manifest import check_manifest
from djed.build.native import installed
from djed.model.artifact import Artifact
from djed.toolbox.oci import Layout, oci_archive
from tests.support.docker import Daemon, daemon
from tests.support.grounds import Ground, leftovers
from tests.support.images import debian_root

pytestmark = pytest.mark.needs("bwrap", "mmdebstrap")

ARCH = platform.machine()


class Place(Ground):
    """A ground with a Debian base in it."""

    debian: Artifact
    docker: Daemon | None = None


def made(folder: Path, engine: str) -> Place:
    place = Place(folder, [engine])
    place.debian = place.bring(f"rootfs:{debian_root(('python3', 'ca-certificates'))}")
    return place


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Daemon]:
    with daemon() as started:
        yield started


@pytest.fixture(
    params=[
        pytest.param("podman", marks=pytest.mark.needs("podman")),
        pytest.param("buildah", marks=pytest.mark.needs("buildah")),
        pytest.param("docker", marks=pytest.mark.needs("dockerd", "root")),
        pytest.param("docker, classic", marks=pytest.mark.needs("dockerd", "root")),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    engine, _, way = request.param.partition(", ")
    if engine != "docker":
        return made(tmp_path, engine)
    started: Daemon = request.getfixturevalue("dockerd")
    monkeypatch.setenv("DOCKER_HOST", started.host)
    place = made(tmp_path, engine)
    place.docker = started
    if way:
        place.change_engine(variables={"DOCKER_HOST": started.host, "DOCKER_BUILDKIT": "0"})
    return place


@pytest.fixture
def podman(tmp_path: Path) -> Place:
    return made(tmp_path, "podman")


def nothing_is_left(place: Place) -> None:
    assert leftovers(place) == []
    if place.docker is not None:
        assert (place.docker.containers(), place.docker.images()) == ([], [])


def test_a_package_is_one_layer_on_the_base(place: Place, tmp_path: Path) -> None:
    artifact = place.install(place.debian, "libgomp1")
    image, below = artifact.image, place.debian.image
    assert image is not None
    assert below is not None
    (gomp,) = installed(image, ["libgomp1"])
    assert (gomp.kind, gomp.version[:5]) == ("deb", "12.2.")
    assert installed(below, ["libgomp1"]) == ()
    assert [layer.digest for layer in image.layers[:-1]] == [layer.digest for layer in below.layers]
    assert image.layers[-1].created_by == "djed native libgomp1"
    assert (image.reference, image.variables, image.user) == (below.reference, below.variables, below.user)
    folder = place.shelf.paths[artifact.digest]
    assert check_manifest(folder, artifact.manifest, "image")
    base_blob = place.shelf.paths[place.debian.digest] / "blobs/sha256" / below.layers[0].digest[7:]
    assert (folder / "blobs/sha256" / below.layers[0].digest[7:]).samefile(base_blob)
    assert (folder / "root/usr/lib" / f"{ARCH}-linux-gnu" / "libgomp.so.1").exists()
    assert list((folder / "root/var/lib/apt/lists").iterdir()) == []
    assert not (folder / "root/djed/native").exists()
    assert not (folder / "root/usr/sbin/policy-rc.d").exists()
    with (tmp_path / "image.tar").open("wb") as into:
        oci_archive(folder, into)
    subprocess.run(
        ["skopeo", "inspect", f"oci-archive:{tmp_path}/image.tar"], check=True, capture_output=True
    )
    nothing_is_left(place)


def test_an_unknown_package_with_what_is_near_it(place: Place) -> None:
    failure = place.failed_native(place.debian, "libgomp9", "libgomp1")
    assert failure.kind == "no_such_native", failure
    assert failure.message.startswith(
        "There is no package libgomp9 in the repositories of the base; near it are libgomp1"
    )
    assert failure.hint
    assert failure.hint.startswith("Write libgomp1")
    nothing_is_left(place)


@pytest.mark.needs("podman")
def test_a_version_is_installed_that_is_asked_for(podman: Place) -> None:
    first = podman.install(podman.debian, "libgomp1")
    assert first.image is not None
    (gomp,) = installed(first.image, ["libgomp1"])
    again = podman.install(podman.debian, f"libgomp1={gomp.version}")
    assert again.image is not None
    assert installed(again.image, [f"libgomp1={gomp.version}"]) == (gomp,)
    failure = podman.failed_native(podman.debian, "libgomp1=99")
    assert failure.kind == "no_such_native", failure
    assert (
        failure.message
        == f"The repositories of the base have no version 99 of libgomp1; there is {gomp.version}."
    )


@pytest.mark.needs("podman")
def test_packages_that_exclude_each_other(podman: Place) -> None:
    failure = podman.failed_native(podman.debian, "nullmailer", "msmtp-mta")
    assert failure.kind == "native_conflict", failure
    assert "nullmailer : Conflicts: mail-transport-agent" in failure.message
    nothing_is_left(podman)


@pytest.mark.needs("podman")
def test_a_virtual_package_is_known_by_what_provides_it(podman: Place) -> None:
    failure = podman.failed_native(podman.debian, "mail-transport-agent")
    assert failure.kind == "no_such_native", failure
    assert "a role that several play" in failure.message
    artifact = podman.install(podman.debian, "libz-dev")
    assert artifact.image is not None
    assert [item.name for item in installed(artifact.image, ["libz-dev"])] == ["zlib1g-dev"]


@pytest.mark.needs("podman")
def test_a_repository_that_is_not_there(podman: Place, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(
        ["tar", "-C", root, "--exclude=./dev/*", "-xf", debian_root(("python3", "ca-certificates"))],
        check=True,
    )
    (root / "etc/apt/sources.list").write_text("deb http://127.0.0.1:1/debian bookworm main\n")
    failure = podman.failed_native(podman.bring(f"rootfs:{root}"), "libgomp1")
    assert failure.kind == "repository_unreachable", failure
    assert (
        failure.message
        == "The package repository 127.0.0.1:1 of the base cannot be used: the connection was refused."
    )
    nothing_is_left(podman)


@pytest.mark.needs("podman")
def test_the_command_of_the_base_stays_its_own(podman: Place, tmp_path: Path) -> None:
    """The build has a user, a label and variables of its own, none of which is the image's."""
    base = podman.shelf.paths[podman.debian.digest]
    artifact = podman.install(podman.debian, "libgomp1")
    before, after = (Layout(path).choose(ARCH).config for path in (base, podman.shelf.paths[artifact.digest]))
    assert after["config"] == before["config"]
    assert os.fspath(tmp_path) not in str(after)
    assert replace(artifact, digest="") != replace(podman.debian, digest="")
