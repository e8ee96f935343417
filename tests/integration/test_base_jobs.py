"""Every kind of base, made for real: a Debian root as a folder, an archive, a layout, an image of an engine, and of a registry."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.build.manifest import check_manifest
from djed.model.artifact import Artifact
from djed.toolbox.oci import Layout
from tests.support.grounds import Ground, leftovers, loopback_registry
from tests.support.images import debian_root, layout_of

pytestmark = pytest.mark.needs("bwrap", "mmdebstrap", "skopeo")

ARCH = platform.machine()


@pytest.fixture(scope="module")
def root() -> Path:
    return debian_root(("python3", "ca-certificates"))


@pytest.fixture(scope="module")
def layout(root: Path) -> Path:
    return layout_of(root)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, layout: Path) -> Iterator[str]:
    with loopback_registry(tmp_path_factory.mktemp("registry")) as address:
        copy = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{layout}", f"docker://{address}/team/debian:12"], check=True)
        yield address


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def is_debian(ground: Ground, artifact: Artifact, reference: str) -> None:
    """Whether all is known of it that is to be known."""
    image = artifact.image
    assert image is not None
    assert (image.reference, image.arch, image.os, image.os_version) == (reference, ARCH, "debian", "12")
    assert (image.libc, image.package_manager) == ("glibc2.36", "apt")
    assert [(item.path, item.version[:4]) for item in image.interpreters] == [("/usr/bin/python3.11", "3.11")]
    versions = {item.name: item.version for item in image.native}
    assert versions["libc6"].startswith("2.36-")
    assert "libgomp1" not in versions
    assert image.variables["PATH"].endswith("/usr/bin:/sbin:/bin")
    place = ground.shelf.paths[artifact.digest]
    assert check_manifest(place, artifact.manifest, "image")
    assert artifact.size > 2 * sum(layer.size for layer in image.layers) * 0.5
    assert Layout(place).choose(ARCH).layers[0].digest == image.layers[0].digest
    assert (place / "root/usr/bin/python3.11").is_file()
    assert (place / "root/djed").is_dir()


def test_a_root_as_a_tar(ground: Ground, root: Path) -> None:
    is_debian(ground, ground.bring(f"rootfs:{root}"), f"rootfs:{root}")


def test_a_root_as_a_folder(ground: Ground, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "--exclude=./dev/*", "-xf", root], check=True)
    is_debian(ground, ground.bring(f"rootfs:{folder}"), f"rootfs:{folder}")


def test_a_layout_an_archive_of_it_and_one_of_docker_give_the_same_layers(
    ground: Ground, layout: Path, tmp_path: Path
) -> None:
    copy = ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}"]
    subprocess.run([*copy, f"oci-archive:{tmp_path}/oci.tar"], check=True)
    subprocess.run([*copy, f"docker-archive:{tmp_path}/docker.tar:debian:12"], check=True)
    references = [f"oci:{layout}", f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"]
    made = [ground.bring(reference) for reference in references]
    for artifact, reference in zip(made, references, strict=True):
        is_debian(ground, artifact, reference)
    diff_ids = [Layout(ground.shelf.paths[one.digest]).choose(ARCH).diff_ids for one in made]
    assert diff_ids == diff_ids[:1] * 3
    assert len({one.digest for one in made}) == 3  # each is called by its own reference


def test_the_same_base_again_is_the_same_artifact(ground: Ground, layout: Path) -> None:
    assert ground.bring(f"oci:{layout}").digest == ground.bring(f"oci:{layout}").digest


@pytest.mark.needs("registry")
def test_a_name_leads_to_a_digest_of_the_registry(ground: Ground, registry: str, layout: Path) -> None:
    name = f"{registry}/team/debian:12"
    artifact = ground.bring(name, insecure=registry)
    is_debian(ground, artifact, name)
    assert artifact.image is not None
    asked = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}"]
    digest = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    assert artifact.image.digest == digest
    pinned = f"{registry}/team/debian:12@{digest}"
    again = ground.bring(pinned, insecure=registry)
    assert again.image is not None
    assert (again.image.digest, again.image.reference) == (digest, pinned)
    assert leftovers(ground) == []


@pytest.mark.needs("registry")
@pytest.mark.parametrize("tag", ["13", "12@sha256:" + "0" * 64])
def test_a_name_that_no_registry_knows(ground: Ground, registry: str, tag: str) -> None:
    failure = ground.failed_base(f"{registry}/team/debian:{tag}", insecure=registry)
    assert failure.kind == "no_such_base", failure
    assert failure.message.startswith(
        f"There is no image {registry}/team/debian:{tag}, at least none at the registry"
    )


@pytest.mark.needs("registry")
def test_a_registry_without_tls_is_asked_only_where_the_setting_says_so(
    ground: Ground, registry: str
) -> None:
    failure = ground.failed_base(f"{registry}/team/debian:12")
    assert failure.kind == "repository_unreachable", failure
    assert "HTTP response to HTTPS client" in failure.message


def test_a_registry_that_is_not_there(ground: Ground) -> None:
    failure = ground.failed_base("localhost:1/team/debian:12")
    assert failure.kind == "repository_unreachable", failure
    assert "connection refused" in failure.message
    assert failure.hint


@pytest.mark.needs("podman")
@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_an_image_of_podman_is_found_before_any_registry(tmp_path: Path, layout: Path, engine: str) -> None:
    ground = Ground(tmp_path, [engine])
    name = "localhost/djed-kept:12"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}", f"containers-storage:{name}"],
        check=True,
    )
    try:
        is_debian(ground, ground.bring(name), name)
    finally:
        subprocess.run(["podman", "rmi", "-f", name], check=True, capture_output=True)
    assert leftovers(ground) == []


def test_an_image_for_another_machine(ground: Ground, layout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", layout, other], check=True)
    index = json.loads((other / "index.json").read_text())
    platform_ = index["manifests"][0]["platform"]
    platform_["architecture"] = "arm64" if platform_["architecture"] == "amd64" else "amd64"
    (other / "index.json").write_text(json.dumps(index))
    failure = ground.failed_base(f"oci:{other}")
    assert failure.kind == "base_mismatch", failure
    assert f"linux/{platform_['architecture']}" in failure.message
