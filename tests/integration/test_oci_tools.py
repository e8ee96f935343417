"""What we read and write, and what the programs that everybody uses make of it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import djed
from djed.errors import UnreadableError
from djed.toolbox.archive import extract
from djed.toolbox.layers import TextFile, Tree, apply, write_layer
from djed.toolbox.oci import (
    ImageKind,
    LayerFile,
    Layout,
    OciImage,
    docker_archive,
    extend,
    import_image,
    oci_archive,
    unpack,
)
from tests.support.docker import daemon
from tests.support.images import debian_root, layout_of, tiny_root
from tests.support.podman import podman
from tests.support.tars import state

_SAYS = b"#!/bin/sh\necho said by a layer\n"


def _run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OciImage]:
    """A layout: a tiny base, and a layer of ours above it with all kinds of entries."""
    place = tmp_path_factory.mktemp("made")
    tar = place / "root.tar"
    _run("tar", "-C", tiny_root(place / "root"), "-cf", tar, ".")
    base = layout_of(tar)
    tree = place / "tree"
    (tree / "deep" / ("n" * 120)).mkdir(parents=True)
    (tree / "deep" / ("n" * 120) / "é \n☃").write_text("odd")
    (tree / "run").write_bytes(_SAYS)
    (tree / "run").chmod(0o755)
    os.link(tree / "run", tree / "again")
    (tree / "link").symlink_to("/" + "t" * 150)
    layer = place / "layer.tar"
    with layer.open("wb") as file:
        done = write_layer(
            [Tree(source=tree, target="/opt/ours"), TextFile(path="/etc/ours.conf", data=b"x", mode=0o600)],
            file,
        )
    parts = [LayerFile(path=layer, digest=done.digest, diff_id=done.diff_id, size=done.size)]
    config = {"Env": {"WORD": "two words"}, "Cmd": ["/opt/ours/run"], "Labels": {"a.b": "c"}}
    image = Layout(base).choose(platform.machine())
    return place / "image", extend(
        base, image, parts, config=config, into=place / "image", epoch=1_700_000_000
    )


# --- Others read what we write


@pytest.mark.needs("skopeo")
def test_skopeo_sees_the_same_image(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    seen = json.loads(_run("skopeo", "inspect", f"oci:{layout}"))
    assert seen["Digest"] == image.digest
    assert seen["Layers"] == [layer.digest for layer in image.layers]
    assert seen["Labels"] == {"a.b": "c"}
    assert seen["Created"] == "2023-11-14T22:13:20Z"
    with (tmp_path / "oci.tar").open("wb") as file:
        oci_archive(layout, file)
    assert json.loads(_run("skopeo", "inspect", f"oci-archive:{tmp_path}/oci.tar"))["Digest"] == image.digest
    with (tmp_path / "docker.tar").open("wb") as file:
        docker_archive(layout, image, "example/made", file)
    _run("skopeo", "copy", f"docker-archive:{tmp_path}/docker.tar", f"dir:{tmp_path}/dir")
    assert (tmp_path / "dir" / image.manifest["config"]["digest"].removeprefix("sha256:")).exists()


@pytest.mark.needs("umoci")
def test_umoci_unpacks_the_same_files(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    _run("umoci", "unpack", "--rootless", "--image", f"{layout}:latest", tmp_path / "theirs")
    unpack(layout, image, tmp_path / "ours")
    assert state(tmp_path / "ours") == state(tmp_path / "theirs/rootfs")
    assert (tmp_path / "ours/opt/ours/run").samefile(tmp_path / "ours/opt/ours/again")
    assert (tmp_path / "theirs/rootfs/opt/ours/run").samefile(tmp_path / "theirs/rootfs/opt/ours/again")


@pytest.mark.needs("buildah")
def test_buildah_takes_it(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    own = (
        "buildah",
        "--storage-driver",
        "vfs",
        "--root",
        str(tmp_path / "store"),
        "--runroot",
        str(tmp_path / "run"),
    )
    try:
        name = _run(*own, "pull", "--quiet", f"oci:{layout}").split()[-1]
        assert f"sha256:{name}" == image.manifest["config"]["digest"]
    finally:
        _run(*own, "rmi", "--all", "--force")


@pytest.mark.needs("podman")
def test_podman_loads_and_runs_it(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    with (tmp_path / "docker.tar").open("wb") as file:
        docker_archive(layout, image, "example.test/made:1", file)
    with podman() as engine:
        engine.call("load", "--input", str(tmp_path / "docker.tar"))
        assert engine.run("example.test/made:1") == b"said by a layer\n"
        assert engine.run("example.test/made:1", "/bin/sh", "-c", 'echo "$WORD"') == b"two words\n"
        for kind in ("oci-archive", "docker-archive"):
            saved = tmp_path / f"{kind}.tar"
            engine.call("save", "--format", kind, "--output", str(saved), "example.test/made:1")
            _same(saved, kind, image, tmp_path / kind)


@pytest.mark.needs("dockerd", "root")
def test_docker_loads_it_and_saves_it_again(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    with (tmp_path / "docker.tar").open("wb") as file:
        docker_archive(layout, image, "made", file)
    with daemon() as docker:
        docker.ask("load", "--quiet", "--input", str(tmp_path / "docker.tar"))
        seen = json.loads(docker.ask("image", "inspect", "made:latest"))[0]
        assert seen["Id"] == image.manifest["config"]["digest"]
        assert tuple(seen["RootFS"]["Layers"]) == image.diff_ids
        docker.ask("save", "--output", str(tmp_path / "saved.tar"), "made:latest")
    _same(tmp_path / "saved.tar", "docker-archive", image, tmp_path / "again")


def _same(saved: Path, kind: ImageKind, image: OciImage, into: Path) -> None:
    """What an engine saved is the image that it was given."""
    again = import_image(saved, kind, into, arch=platform.machine())
    assert again.diff_ids == image.diff_ids
    assert again.config["config"]["Cmd"] == ["/opt/ours/run"]
    unpack(into, again, into.with_name(f"{into.name}-root"))
    assert (into.with_name(f"{into.name}-root") / "opt/ours/run").read_bytes() == _SAYS


# --- We read what others write


@pytest.mark.needs("skopeo")
def test_what_skopeo_converts(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    layout, image = made
    squeezed = f"oci:{tmp_path}/squeezed"
    _run("skopeo", "copy", "--dest-compress", "--dest-compress-format", "gzip", f"oci:{layout}", squeezed)
    again = import_image(tmp_path / "squeezed", "oci", tmp_path / "into", arch=platform.machine())
    assert again.diff_ids == image.diff_ids
    assert {layer.media_type.rpartition("+")[2] for layer in again.layers} == {"gzip"}
    unpack(tmp_path / "into", again, tmp_path / "root")
    with (tmp_path / "docker.tar").open("wb") as file:
        docker_archive(tmp_path / "into", again, "squeezed", file)
    _run(
        "skopeo", "copy", f"docker-archive:{tmp_path}/docker.tar", f"docker-archive:{tmp_path}/theirs.tar:x:1"
    )
    _same(tmp_path / "theirs.tar", "docker-archive", image, tmp_path / "theirs")


@pytest.mark.needs("skopeo")
def test_zstd_is_refused_with_the_way_out(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    target = f"oci:{tmp_path}/zstd"
    _run("skopeo", "copy", "--dest-compress", "--dest-compress-format", "zstd", f"oci:{made[0]}", target)
    with pytest.raises(UnreadableError, match="zstd") as refused:
        import_image(tmp_path / "zstd", "oci", tmp_path / "into", arch=platform.machine())
    assert "--dest-compress-format gzip" in str(refused.value.hint)


@pytest.mark.needs("umoci")
def test_layers_of_umoci_with_what_they_hide(made: tuple[Path, OciImage], tmp_path: Path) -> None:
    """A change made by another program, read by us: what it unpacks from its own layers is what we do."""
    layout = tmp_path / "image"
    shutil.copytree(made[0], layout)
    bundle = tmp_path / "bundle"
    _run("umoci", "unpack", "--rootless", "--image", f"{layout}:latest", bundle)
    root = bundle / "rootfs"
    (root / "opt/ours/run").unlink()
    shutil.rmtree(root / "opt/ours/deep")
    (root / "opt/ours/deep").write_text("a file now")
    (root / "opt/ours/link").unlink()
    (root / "opt/ours/link").mkdir()
    (root / "bin/more").write_text("behind a link")
    _run("umoci", "repack", "--image", f"{layout}:changed", bundle)
    index = json.loads((layout / "index.json").read_text())
    name = "org.opencontainers.image.ref.name"
    index["manifests"] = [one for one in index["manifests"] if one["annotations"][name] == "changed"]
    (layout / "index.json").write_text(json.dumps(index))
    image = import_image(layout, "oci", tmp_path / "into", arch=platform.machine())
    unpack(tmp_path / "into", image, tmp_path / "ours")
    assert state(tmp_path / "ours") == state(root)


@pytest.mark.parametrize(
    "form", ["gnu", "pax", "ustar", "v7", "sparse-0.0", "sparse-0.1", "sparse-1.0", "sparse-gnu"]
)
def test_archives_of_gnu_tar(form: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/file").write_text("x" * 1000)
    os.link(tree / "a/file", tree / "hard")
    (tree / "a/b/up").symlink_to("../file")
    options = [f"--format={form}"]
    if form.startswith("sparse"):
        with (tree / "holes").open("wb") as file:
            for place in range(0, 300, 7):
                file.seek(place * 65536)
                file.write(b"data %d" % place)
            file.truncate(300 * 65536 + 5)
        version = form.removeprefix("sparse-")
        options = (
            ["--sparse", "--format=gnu"]
            if version == "gnu"
            else ["--sparse", "--format=pax", f"--sparse-version={version}"]
        )
    if form in {"gnu", "pax"}:
        (tree / ("n" * 150 + "☃")).write_text("long")
    _run("tar", *options, "-C", tree, "-czf", tmp_path / "x.tar.gz", ".")
    (tmp_path / "into").mkdir()
    with (tmp_path / "x.tar.gz").open("rb") as stream:
        extract(stream, tmp_path / "into", name="x.tar.gz")
    assert state(tmp_path / "into") == state(tree)
    assert (tmp_path / "into/hard").samefile(tmp_path / "into/a/file")


@pytest.mark.needs("mmdebstrap")
def test_a_debian_is_what_gnu_tar_unpacks(tmp_path: Path) -> None:
    """All of it: files, links and modes, but for devices and the right to become someone else. And written, it is the same again."""
    tar = debian_root()
    for name in ("ours", "theirs", "again"):
        (tmp_path / name).mkdir()
    with tar.open("rb") as stream:
        apply(stream, tmp_path / "ours")
    _run("tar", "-C", tmp_path / "theirs", "--no-same-owner", "--exclude=./dev/*", "-xf", tar)
    for name in ("ours", "theirs"):
        shutil.rmtree(tmp_path / name / "dev")
    assert state(tmp_path / "ours") == state(tmp_path / "theirs")
    ours, theirs = _modes(tmp_path / "ours"), _modes(tmp_path / "theirs")
    assert ours == {path: mode | 0o600 for path, mode in theirs.items()}
    with (tmp_path / "layer.tar").open("wb") as file:
        write_layer([Tree(source=tmp_path / "ours", target="/", keep=True)], file)
    with (tmp_path / "layer.tar").open("rb") as stream:
        apply(stream, tmp_path / "again")
    assert state(tmp_path / "again") == state(tmp_path / "ours")


def _modes(top: Path) -> dict[str, int]:
    paths = (path for path in top.rglob("*") if not path.is_symlink())
    return {str(path.relative_to(top)): path.stat().st_mode & 0o1777 for path in paths}


def test_the_toolbox_needs_nothing_but_the_standard_library() -> None:
    """It runs in jobs, in an interpreter that sees no packages."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import djed.toolbox.oci, djed.toolbox.archive, djed.toolbox.layers"
    _run(sys.executable, "-I", "-S", "-c", code, str(Path(djed.__path__[0]).parent))
