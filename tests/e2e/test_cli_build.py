"""From a request to an image, an archive and a recipe, as a user types it; no package index is needed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from djed.toolbox.oci import Layout
from tests.support.cli import begin, djed
from tests.support.images import debian_root

pytestmark = pytest.mark.needs("uv", "bwrap")

TELL = """\
import os, sys
print(sys.argv[1:], os.environ["A"], open("a 'b.txt").read(), sys.prefix)
"""


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    (tmp_path / "tell.py").write_text(TELL)
    asked = {
        "name": "app",
        "environment": {
            "variables": {"A": "x 'y"},
            "files": [{"path": "a 'b.txt", "content": "text"}],
        },
        "run": {"script": "tell.py", "arguments": ["-n", "$HOME"]},
    }
    path = tmp_path / "app.json"
    path.write_text(json.dumps(asked))
    return path


def on_debian(path: Path) -> Path:
    """The same request on a Debian."""
    asked = json.loads(path.read_text())
    asked["environment"]["base"] = f"rootfs:{debian_root(('python3', 'ca-certificates'))}"
    path.write_text(json.dumps(asked))
    return path


def built(*arguments: str) -> dict[str, Any]:
    """What was made, by its name."""
    found = json.loads(djed("build", *arguments, "--json"))
    assert (found["outcome"], [job for job in found["jobs"] if job["kind"] == "run"]) == ("succeeded", [])
    return {item["name"]: item for item in found["artifacts"]}


def test_an_archive_of_the_host_is_built_pushed_and_run(request_file: Path, tmp_path: Path) -> None:
    made = built(str(request_file), "--package", "archive")
    digest = made["archive"]["digest"]
    assert [item["kind"] for item in json.loads(djed("artifacts", "--kind", "archive", "--json"))] == [
        "archive"
    ]
    target = tmp_path / "out.tar.gz"
    djed("push", digest[7:15], str(target))
    assert "is there already" in djed("push", digest[7:15], str(target), code=4)
    djed("push", digest[7:15], str(target), "--force")
    subprocess.run(["tar", "-xzf", target, "-C", tmp_path], check=True, timeout=60)
    folder = tmp_path / "environment"
    done = subprocess.run(
        [folder / "start"], capture_output=True, text=True, check=True, timeout=60, env={"PATH": os.defpath}
    )
    assert done.stdout == f"['-n', '$HOME'] x 'y text {folder}/env\n"


def test_each_packaging_is_written_where_it_is_asked_for(request_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    process = begin("build", str(request_file), "--package", "archive", "--output", str(tmp_path / "out"))
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["BUILT", "environment", "archive"]
    assert "Packaged archive" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["app.tar.gz"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--package", "image"), "cannot be packaged as"),
        (("--package", "rpm"), "rpm"),
    ],
)
def test_what_cannot_be_packaged_is_said_before_anything_is_built(
    request_file: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in djed("build", str(request_file), *arguments, code=2)
    assert json.loads(djed("list", "--json")) == []


def test_recipes_are_written_for_any_engine_and_for_apptainer(request_file: Path, tmp_path: Path) -> None:
    assert djed("recipe", str(request_file)).startswith("FROM ")
    djed("recipe", str(request_file), "--format", "apptainer", "--output", str(tmp_path / "app.def"))
    assert "%runscript" in (tmp_path / "app.def").read_text()
    assert "cannot be written" in djed(
        "recipe", str(request_file), "--output", str(tmp_path / "app.def"), code=1
    )
    assert "There is no inspection" in djed("recipe", "nobody", code=3)


@pytest.mark.needs("mmdebstrap")
def test_an_image_is_built_twice_with_one_digest(request_file: Path, tmp_path: Path) -> None:
    made = built(str(on_debian(request_file)), "--package", "image,archive")
    assert [*made] == ["environment", "image", "archive"]
    again = built(str(request_file), "--package", "image", "--reuse", "nothing")
    assert again["image"]["digest"] != made["image"]["digest"], "it was built anew"
    assert again["image"]["image"] == made["image"]["image"], "and is the same, byte for byte"
    djed("push", made["image"]["digest"], f"oci:{tmp_path}/layout:v1")
    found = Layout(tmp_path / "layout").choose(os.uname().machine)
    assert found.digest == made["image"]["image"]
    assert found.config["config"]["Cmd"] == ["python", "./tell.py", "-n", "$HOME"]
    store = Path(os.environ["DJED_DATA"], "artifacts/image")
    below = found.layers[0]
    names = list(store.glob(f"*/{below.blob}"))
    assert len({path.stat().st_ino for path in names}) < len(names), "the base's blob is not copied"
