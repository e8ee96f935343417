"""Where an artifact can be brought, and what is said of the rest."""

from __future__ import annotations

import pytest

from djed.errors import RequestError
from djed.model.artifact import Artifact, ArtifactKind
from djed.service.push import Destination, read_destination


def of(kind: ArtifactKind) -> Artifact:
    return Artifact(digest="sha256:" + "a" * 64, kind=kind, path="", size=1, manifest="")


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("oci:dir", Destination(way="oci", place="dir")),
        ("oci:/a b:c/d:v1.0", Destination(way="oci", place="/a b:c/d", name="v1.0")),
        ("oci:a:b/c", Destination(way="oci", place="a:b/c")),
        ("oci-archive:f.tar", Destination(way="oci-archive", place="f.tar")),
        ("oci-archive:f.tar:name:tag", Destination(way="oci-archive", place="f.tar", name="name:tag")),
        ("docker-archive:f.tar:app:1", Destination(way="docker-archive", place="f.tar", name="app:1")),
        ("docker-daemon:app:1", Destination(way="docker-daemon", place="app:1")),
        ("containers-storage:app", Destination(way="containers-storage", place="app")),
        ("docker://registry.example/app:1", Destination(way="docker", place="registry.example/app:1")),
        ("registry.example/team/app:1", Destination(way="docker", place="registry.example/team/app:1")),
        ("127.0.0.1:5000/app", Destination(way="docker", place="127.0.0.1:5000/app")),
    ],
)
def test_places_of_images_are_written_as_others_write_them(text: str, destination: Destination) -> None:
    assert read_destination(text, of("image")) == destination


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "./image.tar",
        "/a/b",
        "oci:",
        "oci-archive:",
        "docker://",
        "docker-daemon:-x",
        "docker://a b",
        "sif:x",
        "a/../b",
        "team/app:1",
        "oci:a\0b",
    ],
)
def test_what_is_no_place_for_an_image_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        read_destination(text, of("image"))


@pytest.mark.parametrize(
    ("kind", "name"), [("archive", "a.tar.gz"), ("sif", "a.sif"), ("wheel", "a-1-py3-none-any.whl")]
)
def test_anything_else_is_one_file(kind: ArtifactKind, name: str) -> None:
    assert read_destination(f"/x y/{name}", of(kind)) == Destination(way="file", place=f"/x y/{name}")
    with pytest.raises(RequestError, match="ends in"):
        read_destination("/x/a.zip", of(kind))


def test_an_environment_stays_where_it_is() -> None:
    with pytest.raises(RequestError, match="only where it was built") as raised:
        read_destination("a.tar.gz", of("venv"))
    assert "--package archive" in (raised.value.hint or "")
