"""``djed extract`` of what is missing, broken or hostile: a sentence and an exit code, no traceback, nothing written outside."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from djed.cli.main import main
from tests.support import roots
from tests.support.layouts import CONFIG, LAYER, MANIFEST, TAR, Foreign, digest_of
from tests.support.tars import END, entry, escaping, state

Run = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> Run:
    """What a command says that ends with that exit code; nothing is left of it, and nothing changed but the data folder."""

    def run(*arguments: str | Path, code: int) -> str:
        before = state(tmp_path)
        found = main(["extract", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert (found, out) == (code, ""), err
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert len(err) < 2000
        assert state(tmp_path) == before
        contents = data / "contents"
        assert not contents.exists() or list(contents.iterdir()) == []
        return err

    return run


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return roots.layout(roots.root(tmp_path / "good"))


# --- What is nothing -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["./nothing", "/nothing/at/all", "oci:nothing", "docker-archive:x", "~nobody", "", "a b", "x:\n", "é"],
)
def test_what_is_not_there(refused: Run, target: str) -> None:
    assert "There is no" in refused(target, code=3)


def test_prefix_without_a_path(refused: Run) -> None:
    assert "oci: lacks its path" in refused("oci:", code=3)


def test_neither_a_target_nor_a_log_and_both(refused: Run) -> None:
    assert "one thing to look into" in refused(code=2)
    assert "one thing to look into" in refused(".", "--log", "x", code=2)


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("empty", b"", "is empty"),
        ("notes.txt", b"just a text\n" * 100, "is no image, archive or Apptainer file"),
        ("program", b"\x7fELF\x02\x01\x01" + bytes(600), "is no image"),
        ("zeros", bytes(10240), "is no image"),
        ("broken.tar.gz", b"\x1f\x8b\x08\x00 and no more", "broken.tar.gz"),
        ("layer.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
        ("broken.sif", bytes(32) + b"SIF_MAGIC\0" + bytes(600), "broken.sif"),
        ("nothing.tar", entry(b"notes.txt", b"text") + END, "holds no image"),
        ("nothing.tar.gz", gzip.compress(END, mtime=0), "holds no image"),
    ],
)
def test_file_that_is_nothing_known(refused: Run, tmp_path: Path, name: str, body: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(body)
    assert says in refused(tmp_path / name, code=2)


def test_wheel_and_folder_and_device(
    refused: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with zipfile.ZipFile(tmp_path / "six-1.17.0-py3-none-any.whl", "w") as file:
        file.writestr("six.py", "")
    assert "as wheels are" in refused(tmp_path / "six-1.17.0-py3-none-any.whl", code=2)
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / "folder/notes.txt").write_text("text")
    assert "holds no image" in refused(tmp_path / "folder", code=2)
    assert "neither a file nor a folder" in refused("/dev/null", code=2)
    pipe = tmp_path_factory.mktemp("pipes") / "pipe"
    os.mkfifo(pipe)
    assert "neither a file nor a folder" in refused(f"rootfs:{pipe}", code=2)
    (tmp_path / "link").symlink_to("nowhere")
    assert "There is no" in refused(tmp_path / "link", code=3)


def test_prefix_that_does_not_fit(refused: Run, tmp_path: Path, layout: Path) -> None:
    archive = roots.oci_file(layout)
    assert "is a file" in refused(f"oci:{archive}", code=2)
    assert "is a folder" in refused(f"oci-archive:{layout}", code=2)
    assert "lacks" in refused(f"docker-archive:{roots.tar_of(tmp_path / 'good')}", code=2)


def test_output_that_cannot_be_written(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots.root(tmp_path / "root")
    assert main(["extract", str(tmp_path / "root"), "--output", str(tmp_path / "no/such/file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


# --- Images that are broken ----------------------------------------------------------------------------------------------------------


def test_truncated_archive(refused: Run, tmp_path: Path) -> None:
    whole = roots.tar_of(roots.root(tmp_path / "root"), gzip=True).read_bytes()
    for size in (20, len(whole) // 2, len(whole) - 4):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:size])
        assert "cut.tar.gz" in refused(tmp_path / "cut.tar.gz", code=2)


def test_wrong_digest(refused: Run, layout: Path) -> None:
    layer = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.chmod(0o644)
    body = bytearray(layer.read_bytes())
    body[-2000] ^= 1
    layer.write_bytes(body)
    assert layer.name in refused(f"oci:{layout}", code=9)


def test_layout_that_lacks_something(refused: Run, layout: Path, tmp_path: Path) -> None:
    for name in (
        "index.json",
        *(f"blobs/sha256/{path.name}" for path in (layout / "blobs/sha256").iterdir()),
    ):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(layout, tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
        refused(f"oci:{tmp_path}/copy", code=2)
    (layout / "index.json").write_text("{}")
    refused(layout, code=2)


def test_image_for_another_machine(refused: Run, tmp_path: Path) -> None:
    foreign = Foreign(tmp_path / "foreign")
    assert "s390x" in refused(foreign.index(foreign.image("s390x")), code=5)


def test_layer_of_no_bytes(refused: Run, tmp_path: Path) -> None:
    foreign = Foreign(tmp_path / "foreign")
    config = foreign.json(foreign.config(tars=(b"",)), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [foreign.blob(b"", LAYER)],
    }
    folder = foreign.index(foreign.json(manifest, MANIFEST))
    code = main(["extract", str(folder), "--json"])
    assert code in {0, 2}


ODD: list[dict[str, Any]] = [
    {"config": {"Env": [1, "A", "=b", "C=d=e"]}},
    {"config": {"Env": ["A", "=b", "C=d=e"]}},
    *(
        {"config": {key: value}}
        for key in ("Cmd", "Entrypoint", "Labels", "User", "Env")
        for value in (7, "sh", [1], {"a": 1}, None)
    ),
    {"config": []},
    {"config": None},
    {"history": [7, {"created_by": 9}, {"empty_layer": "no"}]},
    {"history": {}},
    {"created": []},
    {"created": "yesterday"},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_configuration_with_the_wrong_types(
    odd: dict[str, Any], tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = Foreign(tmp_path / "foreign")
    layer = foreign.blob(gzip.compress(TAR, mtime=0), LAYER + "+gzip")
    config = foreign.json(foreign.config() | odd, CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    folder = foreign.index(foreign.json(manifest, MANIFEST))
    codes = {
        main(["extract", str(folder), "--format", form]) for form in ("text", "json", "cyclonedx", "spdx")
    }
    assert codes in ({0}, {2}), capsys.readouterr().err


# --- Hostile archives ----------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "up": entry(b"../outside", b"x"),
    "deep-up": entry(b"a/../../outside", b"x"),
    "absolute": entry(b"/outside", b"x"),
    "hard link out": entry(b"here", kind=b"1", target=b"../outside"),
    "hard link to an absolute path": entry(b"here", kind=b"1", target=b"/etc/passwd"),
    "device": entry(b"memory", kind=b"3"),
    "too long": entry(b"long", b"x", size=2**33),
    "broken header": entry(b"x", b"x")[:300] + b"\xff" + entry(b"x", b"x")[301:],
    "escaping": escaping(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_writes_nothing_outside(
    name: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hostile.tar"
    file.write_bytes(entry(b"etc/os-release", b"ID=tiny\n") + HOSTILE[name] + END)
    before = state(tmp_path)
    code = main(["extract", str(file)])
    err = capsys.readouterr().err
    assert code in {0, 2, 9}, err
    assert code == 0 or "hostile.tar" in err
    assert state(tmp_path) == before
    assert not [path for path in (data / "contents").iterdir() if path.name.startswith(".")]
    assert code or name in {"device", "escaping"}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layer_writes_nothing_outside(
    name: str, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = Foreign(tmp_path / "foreign")
    tar = HOSTILE[name] + END
    config = foreign.json(foreign.config(tars=(tar,)), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [foreign.blob(tar, LAYER)],
    }
    folder = foreign.index(foreign.json(manifest, MANIFEST))
    before = state(tmp_path)
    code = main(["extract", f"oci:{folder}"])
    err = capsys.readouterr().err
    assert code in {0, 2, 9}, err
    assert code == 0 or digest_of(tar) in err
    assert state(tmp_path) == before


def test_links_of_a_root_lead_nowhere_outside(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A root whose databases and os-release are links to files of the machine tells nothing of those."""
    secret = tmp_path / "secret"
    secret.write_text(roots.STATUS.format(bash="7.7-secret"))
    folder = tmp_path / "root"
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/os-release").symlink_to(secret)
    (folder / "var/lib/dpkg/status").symlink_to(secret)
    packed = tmp_path / "root.tar"
    with tarfile.open(packed, "w") as file:
        file.add(folder, ".")
    for target in (folder, packed, roots.layout(folder)):
        main(["extract", str(target), "--json"])
        out, err = capsys.readouterr()
        assert "7.7-secret" not in out + err


# --- Without what it takes -----------------------------------------------------------------------------------------------------------


def test_name_of_an_image_without_skopeo(
    refused: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "takes skopeo" in refused("debian:12", code=6)


@pytest.mark.needs("skopeo")
def test_image_that_no_registry_has(refused: Run) -> None:
    assert "cannot be fetched" in refused("docker://127.0.0.1:1/none:1", code=8)


@pytest.mark.parametrize("path", ["nothing", ".", "-"])
def test_log_that_cannot_be_read(
    path: str, refused: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if path == "-":
        (tmp_path / "empty").write_text("")
        assert main(["extract", "--log", str(tmp_path / "empty")]) == 0
    else:
        refused("--log", path, code={"nothing": 3, ".": 2}[path])
