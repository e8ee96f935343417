"""Packaging as an Apptainer file: what goes into the job, what of a root goes into the file, and what is taken from the job."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from djed.build.base import BuildError
from djed.build.inside.sif import compose
from djed.build.package_sif import SifPackager
from djed.errors import ToolError, UnsafeError
from djed.model.artifact import Artifact
from djed.model.image import Image
from djed.model.request import Environment, File, Run
from djed.model.result import Result
from djed.toolbox.sif import write
from tests.support.packaging import packaging, venv_artifact

EPOCH = 315_532_800
PACKAGER = SifPackager()
DONE = Result(exit_code=0)
HEX = "ba" * 32
BELOW = Image(
    reference="registry.example/base:1", digest=f"sha256:{HEX}", arch="x86_64", package_manager="apt"
)


def image(**known: Any) -> Artifact:
    return Artifact(
        digest=f"sha256:{HEX}",
        kind="image",
        path=f"image/{HEX}",
        size=1,
        manifest="m",
        image=replace(BELOW, **known),
    )


ASSEMBLY = packaging(
    Environment(
        base="registry.example/base:1",
        variables={"GREETING": "it's"},
        files=(File(path="a b/c", content="x"),),
    ),
    run=Run(command=("tool", "it's")),
    image=image(),
    venv=venv_artifact(),
)


def plan(assembly: Any) -> dict[str, Any]:
    """What the job is told."""
    text = next(file.text for file in PACKAGER.render(assembly).files if file.path == "plan.json")
    return dict(json.loads(text or ""))


# --- The job


def test_digest_follows_what_goes_in() -> None:
    same = PACKAGER.digest(ASSEMBLY)
    assert PACKAGER.digest(replace(ASSEMBLY, limits=replace(ASSEMBLY.limits, timeout=1))) == same
    others = (
        replace(ASSEMBLY, image=None),
        replace(ASSEMBLY, venv=None),
        replace(ASSEMBLY, run=None),
        replace(ASSEMBLY, environment=Environment()),
        replace(ASSEMBLY, salt="x"),
    )
    assert len({same, *map(PACKAGER.digest, others)}) == 6


def test_job_runs_our_own_code_on_image_and_environment() -> None:
    job = PACKAGER.render(ASSEMBLY)
    assert (job.kind, job.tools, job.engine, job.network, job.inside) == (
        "package",
        True,
        False,
        False,
        False,
    )
    assert (job.image, job.environment) == (image().digest, venv_artifact().digest)
    assert [file.path for file in job.files] == ["plan.json", "0"]


def test_an_environment_of_the_host_is_refused() -> None:
    with pytest.raises(BuildError, match="rests on this machine"):
        PACKAGER.render(replace(ASSEMBLY, image=None))


def test_scripts_quote_what_a_request_brings() -> None:
    scripts = plan(ASSEMBLY)["scripts"]
    lines = scripts["/.singularity.d/env/90-environment.sh"].splitlines()
    assert "export GREETING='it'\"'\"'s'" in lines
    assert (
        "export PATH='/opt/djed/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'"
        in lines
    )
    assert "export VIRTUAL_ENV='/opt/djed/env'" in lines
    assert "set -- 'tool' 'it'\"'\"'s'\n" in scripts["/.singularity.d/runscript"]


def test_an_image_sets_variables_but_nothing_of_who_runs_it() -> None:
    variables = {
        "OF_BASE": "a'b",
        "HOME": "/root",
        "UID": "0",
        "A=$(id)": "x",
        "": "x",
        "NUL": "\0",
        "PATH": "/own",
    }
    lines = plan(replace(ASSEMBLY, venv=None, image=image(variables=variables)))["scripts"][
        "/.singularity.d/env/90-environment.sh"
    ].splitlines()
    names = [line.removeprefix("export ").partition("=")[0] for line in lines[1:]]
    assert names == ["DJED_OUTPUTS", "LANG", "OF_BASE", "PATH", "GREETING"]
    assert "export PATH='/own'" in lines


def test_labels_and_definition_tell_no_path_of_this_machine() -> None:
    told = plan(ASSEMBLY)
    assert told["labels"]["org.opencontainers.image.base.name"] == "registry.example/base:1"
    assert "From: registry.example/base:1" in told["definition"]
    local = replace(
        ASSEMBLY,
        environment=replace(ASSEMBLY.environment, base="rootfs:/srv/secret"),
        image=image(reference="rootfs:/srv/secret"),
    )
    assert "/srv/secret" not in json.dumps(plan(local))


@pytest.mark.parametrize(
    "file", [File(path="a", digest=f"sha256:{HEX}"), File(path="a", content="x" * 5_000_000, size=5_000_000)]
)
def test_what_no_definition_can_hold_is_left_out_of_it(file: File) -> None:
    told = plan(replace(ASSEMBLY, environment=replace(ASSEMBLY.environment, files=(file,))))
    assert told["definition"] == "Bootstrap: docker\nFrom: registry.example/base:1\n"


# --- What goes into the file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    (folder / "usr/bin/su").write_text("x")
    (folder / "usr/bin/su").chmod(0o6711)
    os.utime(folder / "usr/bin/su", (1_600_000_000, 1_600_000_000))
    (folder / "bin").symlink_to("usr/bin")
    os.mkfifo(folder / "pipe")
    return folder


def composed(root: Path, *, env: bool = False) -> dict[str, tarfile.TarInfo]:
    """What comes out, by name; each once."""
    files, environment = root.parent / "files", root.parent / "env"
    (files / "outputs").mkdir(parents=True)
    (files / "main").write_text("x")
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to("/usr/bin/python3")
    stream = io.BytesIO()
    assembly = ASSEMBLY if env else replace(ASSEMBLY, venv=None)
    compose(plan(assembly), root, files, stream, environment=environment if env else None)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        found = tar.getmembers()
    names = [item.name for item in found]
    assert len(names) == len(set(names))
    for number, name in enumerate(names):
        above = name.rpartition("/")[0]
        assert not above or above in names[:number], "a folder comes before what is in it"
    assert all((item.uid, item.gid) == (0, 0) for item in found)
    return dict(zip(names, found, strict=True))


def test_root_loses_rights_and_keeps_times(root: Path) -> None:
    found = composed(root)
    assert (found["usr/bin/su"].mode, found["usr/bin/su"].mtime) == (0o711, 1_600_000_000)
    assert found["tmp"].mode == 0o1777
    assert found["bin"].linkname == "usr/bin"
    assert "pipe" not in found
    assert (found["home/djed/main"].mode, found["home/djed/main"].mtime) == (0o644, EPOCH)
    assert found[".singularity.d/runscript"].mode == 0o755
    assert not any(name.startswith("opt") for name in found)


def test_environment_comes_where_its_link_leads(root: Path) -> None:
    (root / "var/opt").mkdir(parents=True)
    (root / "opt").symlink_to("/var/../../var/opt")
    found = composed(root, env=True)
    assert found["opt"].issym()
    assert found["var/opt/djed/env/bin/python"].linkname == "/usr/bin/python3"


def test_what_an_image_has_in_our_places_goes(root: Path) -> None:
    (root / "opt/djed/env").mkdir(parents=True)
    (root / "opt/djed/env/old").touch()
    (root / "opt/djed/kept").touch()
    (root / "home").mkdir()
    (root / "home/djed").symlink_to("/etc")
    (root / ".singularity.d").symlink_to("/etc")
    found = composed(root, env=True)
    assert "opt/djed/env/old" not in found
    assert "opt/djed/kept" in found
    assert found["home/djed"].isdir()
    assert found[".singularity.d"].isdir()


@pytest.mark.parametrize(("link", "words"), [("opt", "circles"), ("usr/bin/su", "is a file")])
def test_roots_that_lead_astray(root: Path, link: str, words: str) -> None:
    (root / "opt").symlink_to(link)
    with pytest.raises(UnsafeError, match=words):
        composed(root, env=True)


# --- What the job left


def left(folder: Path, *, arch: str = "x86_64") -> Path:
    """Outputs with a file of that architecture."""
    superblock = struct.pack("<5I6H8Q", 0x73717368, 1, 0, 2**17, 0, 1, 17, 0, 1, 4, 0, 0, 96, *[0] * 6)
    (folder / "root").write_bytes(superblock)
    (folder / "outputs/sif").mkdir(parents=True)
    write(folder / "root", folder / "outputs/sif/image.sif", arch=arch, labels={}, definition="", epoch=0)
    return folder / "outputs"


def test_sealed_as_one_file(tmp_path: Path) -> None:
    sealed = PACKAGER.seal(ASSEMBLY, DONE, left(tmp_path))
    assert (sealed.artifact.kind, sealed.artifact.digest) == ("sif", PACKAGER.digest(ASSEMBLY))
    assert sealed.artifact.path == f"sif/{sealed.artifact.digest.partition(':')[2]}"
    assert sealed.artifact.size == (sealed.path / "image.sif").stat().st_size
    assert sealed.artifact.image == BELOW
    assert stat.S_IMODE((sealed.path / "image.sif").stat().st_mode) == 0o755


def test_what_is_not_what_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did not end well"):
        PACKAGER.seal(ASSEMBLY, Result(exit_code=1), tmp_path)
    with pytest.raises(ToolError, match="left no sif"):
        PACKAGER.seal(ASSEMBLY, DONE, tmp_path)
    outputs = left(tmp_path, arch="aarch64")
    with pytest.raises(ToolError, match="for aarch64"):
        PACKAGER.seal(ASSEMBLY, DONE, outputs)
    (outputs / "sif/more").touch()
    with pytest.raises(ToolError, match="more"):
        PACKAGER.seal(ASSEMBLY, DONE, outputs)
    (outputs / "sif/more").unlink()
    (outputs / "sif/image.sif").unlink()
    (outputs / "sif/image.sif").symlink_to("/etc/passwd")
    with pytest.raises(ToolError, match="should be"):
        PACKAGER.seal(ASSEMBLY, DONE, outputs)
