"""Images that we write without an engine, as others read and run them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.build.interface import Assembly, Sealed
from djed.build.package_image import ImagePackager
from djed.model.request import Environment, File, Run
from djed.toolbox.digest import digest_bytes
from djed.toolbox.layers import apply
from djed.toolbox.oci import Layout, oci_archive
from tests.support.images import debian_root, layout_of
from tests.support.packaging import Bench, base_artifact, packaging, venv_artifact
from tests.support.podman import Podman, podman

pytestmark = pytest.mark.needs("mmdebstrap")

HOSTILE = (
    "a b", "'", '"', "\\", "$HOME", "$(id)", "`id`", "-n", "--help", "ä€😀", "a'b\"c\\d $x", "*", "~", "#", "%s%n", "{{x}}", "plan.json",
    "<<EOF", "!!", ";id", "|id", "&", " lead", "trail ", "nested/ folder/'x'",
)  # fmt: skip
VALUES = (*HOSTILE, "a\nb", "\n", "\t", "\r\n", "", "=", "a=b", "\x01", "\u2028")
TELL = """\
import json, os, sys, app
files = {os.path.relpath(os.path.join(at, name)): open(os.path.join(at, name)).read() for at, _, names in os.walk(".") for name in names}
print(json.dumps([sys.argv[1:], dict(os.environ), files, os.getcwd(), sys.prefix, app.NAME, os.getuid()]))
"""


@pytest.fixture(scope="session")
def base() -> Path:
    return layout_of(debian_root(("python3", "ca-certificates")))


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with podman() as found:
        yield found


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """An environment as uv makes one for the Python of the base, with a module and an odd name in it."""
    folder = tmp_path / "env"
    site_packages = folder / "lib/python3.11/site-packages"
    site_packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to("/usr/bin/python3.11")
    (folder / "lib64").symlink_to("lib")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (site_packages / "app.py").write_text("NAME = 'app'\n")
    (site_packages / "odd \n name").write_text("")
    return folder


@pytest.fixture
def bench(tmp_path: Path, env: Path, base: Path) -> Bench:
    return Bench(tmp_path / "jobs", env=env, layout=base)


def asked(base: Path, *, files: tuple[File, ...] = (), run: Run | None = None, **variables: str) -> Assembly:
    return packaging(
        Environment(files=files, variables=variables),
        run=run,
        image=base_artifact(Layout(base).choose("x86_64")),
        venv=venv_artifact(),
    )


def archive(sealed: Sealed, path: Path) -> Path:
    with path.open("wb") as file:
        oci_archive(sealed.path, file)
    return path


@pytest.mark.needs("podman")
def test_whatever_is_asked_comes_through(bench: Bench, base: Path, engine: Podman, tmp_path: Path) -> None:
    files = tuple(File(path=name, content=f"{name}\n") for name in HOSTILE)
    variables = {f"V{number}": value for number, value in enumerate(VALUES)}
    script = File(path="-tell $(me).py", content=TELL)
    run = Run(script=script, arguments=VALUES)
    sealed = bench.make(ImagePackager(), asked(base, files=files, run=run, **variables))
    image = engine.load(archive(sealed, tmp_path / "image.tar"))
    arguments, environ, found, folder, prefix, name, user = json.loads(engine.run(image))
    assert tuple(arguments) == VALUES
    assert {key: environ.get(key) for key in variables} == variables
    assert found == {item: f"{item}\n" for item in HOSTILE} | {script.path: TELL}
    assert (folder, prefix, name, user) == ("/home/djed", "/opt/djed/env", "app", 1042)
    assert engine.run(image, "sh", "-c", "touch outputs/a && id -u").strip() == b"1042"


@pytest.mark.needs("skopeo", "umoci", "buildah")
def test_others_read_what_we_wrote(bench: Bench, base: Path, tmp_path: Path) -> None:
    sealed = bench.make(ImagePackager(), asked(base, files=(File(path="data", content="1"),)))
    assert sealed.artifact.image is not None
    seen = json.loads(output("skopeo", "inspect", f"oci:{sealed.path}"))
    assert seen["Digest"] == sealed.artifact.image.digest
    output("umoci", "unpack", "--image", f"{sealed.path}:latest", str(tmp_path / "bundle"))
    root = tmp_path / "bundle/rootfs"
    assert (root / "opt/djed/env/lib/python3.11/site-packages/odd \n name").is_file()
    assert (root / "opt/djed/env/bin/python").readlink() == Path("/usr/bin/python3.11")
    status = (root / "home/djed/data").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777, int(status.st_mtime)) == (
        1042,
        0,
        0o644,
        315_532_800,
    )
    place = tmp_path / "buildah"
    own = ("--root", str(place / "root"), "--runroot", str(place / "run"), "--storage-driver", "vfs")
    output("buildah", *own, "pull", "--quiet", f"oci:{sealed.path}")
    shutil.rmtree(place)


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_same_environment_gives_the_same_bytes(bench: Bench, base: Path) -> None:
    """Whenever it is made, and whatever the times of its files."""
    wanted = asked(base, files=(File(path="data", content="1"),), A="1")
    first = bench.make(ImagePackager(), wanted)
    assert bench.env is not None
    (bench.env / "pyvenv.cfg").touch()
    (bench.env / "pyvenv.cfg").chmod(0o600)
    second = bench.make(ImagePackager(), wanted)
    names = [
        sorted(path.name for path in (sealed.path / "blobs/sha256").iterdir()) for sealed in (first, second)
    ]
    assert names[0] == names[1]
    later = bench.make(
        ImagePackager(), asked(base, files=(File(path="data", content="1"),), A="1", SOURCE_DATE_EPOCH="5")
    )
    assert later.artifact.image != second.artifact.image


def test_only_the_layer_that_differs_is_new(bench: Bench, base: Path) -> None:
    """Of two scripts in one environment on one base."""
    made = [
        bench.make(ImagePackager(), asked(base, run=Run(script=File(path="a.py", content=text))))
        for text in ("1", "2")
    ]
    layers = [[layer.digest for layer in Layout(sealed.path).choose("x86_64").layers] for sealed in made]
    assert layers[0][:-1] == layers[1][:-1]
    assert layers[0][-1] != layers[1][-1]
    (below,) = Layout(base).choose("x86_64").layers
    assert (made[0].path / below.blob).samefile(base / below.blob)


def test_large_files_come_by_their_digest(bench: Bench, base: Path, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    bench.blobs = {digest_bytes(data): data}
    sealed = bench.make(
        ImagePackager(), asked(base, files=(File(path="big", digest=digest_bytes(data), executable=True),))
    )
    layout = Layout(sealed.path)
    (tmp_path / "root").mkdir()
    with layout.open(layout.choose("x86_64").layers[-1]) as layer:
        apply(layer, tmp_path / "root")
    big = tmp_path / "root/home/djed/big"
    assert (big.read_bytes(), big.stat().st_mode & 0o777) == (data, 0o755)


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_file_and_folder_is_said_in_a_sentence(
    bench: Bench, base: Path, paths: tuple[str, str]
) -> None:
    files = tuple(File(path=path, content="") for path in paths)
    result, outputs = bench.run(ImagePackager().render(asked(base, files=files)))
    assert (result.exit_code, "both a folder and a file" in bench.errors) == (1, True)
    assert "Traceback" not in bench.errors
    assert not (outputs / "image/index.json").exists()


def test_a_name_that_would_hide_a_file_of_the_base_is_refused(bench: Bench, base: Path) -> None:
    result, _ = bench.run(ImagePackager().render(asked(base, files=(File(path=".wh..wh..opq", content=""),))))
    assert (result.exit_code, "whiteout" in bench.errors) == (1, True)
