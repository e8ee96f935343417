"""Apptainer files: written by us and taken by Apptainer itself, made by Apptainer, and read back."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from djed.build.package_sif import SifPackager
from djed.model.artifact import Artifact
from djed.model.image import Image
from djed.model.request import Environment, File, Run
from djed.toolbox import layers, squashfs
from djed.toolbox.sif import read, unpack_sif
from tests.support.apptainer import machine
from tests.support.images import debian_root, tiny_root
from tests.support.packaging import Bench, packaging, venv_artifact

pytestmark = pytest.mark.needs("mksquashfs")

HEX = "ba" * 32
HOSTILE = {
    "NEWLINES": "a\nb\n\n",
    "QUOTES": """it's "quoted" 'and' not""",
    "EXPANDS": "$(id) `id` ${HOME} $HOME $$ !!",
    "BACKSLASH": "\\n \\\\ \\",
    "BRACES": "{{ template }} {a,b} }",
    "SECTIONS": "%post\n%runscript\nid\n",
    "COMMANDS": "; id & id | id > /tmp/x #",
    "EMPTY": "",
    "GLOBS": "* ? [a-z] ~",
    "TABS": "\t\r\x01\x7f",
    "WIDE": "ä€𝄞\u2028",
    "LONG": "x" * 100_000,
    "IFS_LIKE": " \t\n",
}
NAMES = (
    "plain",
    "with space",
    "it's",
    '"q"',
    "$(touch x)",
    "`id`",
    "-rf",
    "a;b",
    "back\\slash",
    "ä€𝄞",
    "*",
    "%post",
    "d/e f/g'h",
)
SCRIPT = """\
#!/bin/sh
env -0 >"$DJED_OUTPUTS/env"
for word do printf '%s\\0' "$word"; done >"$DJED_OUTPUTS/words"
pwd >"$DJED_OUTPUTS/pwd"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the Apptainer machine works."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Packages what rests on a tiny image, without Apptainer."""
    tiny_root(tmp_path / "image/root")
    made = Bench(tmp_path / "jobs", layout=tmp_path / "image")
    made.variables["PATH"] = "/nowhere"
    return made


def image(**known: object) -> Artifact:
    """The artifact of the image below."""
    below = Image(reference="rootfs:/srv/tiny", digest=f"sha256:{HEX}", arch=platform.machine())
    return Artifact(
        digest=f"sha256:{HEX}",
        kind="image",
        path=f"image/{HEX}",
        size=1,
        manifest="sha256:manifest",
        image=replace(below, **known),  # type: ignore[arg-type]
    )


def request(**more: object) -> Environment:
    """An environment whose every name and value wants out."""
    files = tuple(File(path=name, content=f"this is {name}") for name in NAMES)
    return replace(Environment(base="rootfs:/srv/tiny", variables=HOSTILE, files=files), **more)  # type: ignore[arg-type]


def outputs(folder: Path) -> dict[str, list[str]]:
    """What the script left, word by word."""
    return {path.name: path.read_bytes().decode().split("\0") for path in folder.iterdir()}


# --- Taken by Apptainer


@pytest.mark.needs("root", "mmdebstrap")
def test_apptainer_takes_what_we_write(bench: Bench, here: Path) -> None:
    words = tuple(HOSTILE.values())
    run = Run(script=File(path="it's main", content=SCRIPT), arguments=words)
    inherited = {
        "PATH": "/own:/usr/bin:/bin",
        "OF_BASE": "yes",
        "HOME": "/root",
        "UID": "0",
        "not a name": "x",
        "A$(id)": "x",
    }
    assembly = packaging(request(), run=run, image=image(variables=inherited))
    sealed = bench.make(SifPackager(), assembly)
    shutil.copy(sealed.path / "image.sif", here)
    apptainer = machine()

    apptainer.run("apptainer", "run", "image.sif", here=here)
    found = outputs(here / "outputs")
    seen = dict(line.partition("=")[::2] for line in found["env"] if line)
    assert {name: seen.get(name) for name in HOSTILE} == HOSTILE
    assert (seen["PATH"], seen["OF_BASE"], seen["HOME"], seen["LANG"]) == (
        "/own:/usr/bin:/bin",
        "yes",
        "/home/user",
        "C.UTF-8",
    )
    assert found["words"] == [*words, ""]
    assert found["pwd"] == ["/home/djed\n"]

    listed = apptainer.run(
        "apptainer", "exec", "image.sif", "cat", *(f"/home/djed/{name}" for name in NAMES), here=here
    )
    assert listed.out == "".join(f"this is {name}" for name in NAMES)
    assert apptainer.run("apptainer", "run", "image.sif", "id", "-u", here=here).out == "1000\n"


@pytest.mark.needs("root", "mmdebstrap")
def test_apptainer_tells_what_we_wrote(bench: Bench, here: Path) -> None:
    sealed = bench.make(SifPackager(), packaging(Environment(variables={"A": "b"}), image=image()))
    shutil.copy(sealed.path / "image.sif", here)
    apptainer = machine()
    assert (
        f"org.opencontainers.image.base.digest: sha256:{HEX}"
        in apptainer.run("apptainer", "inspect", "image.sif", here=here).out
    )
    for option, part in (
        ("--deffile", "Bootstrap: localimage"),
        ("--runscript", "cd /home/djed"),
        ("--environment", "export A='b'"),
    ):
        assert part in apptainer.run("apptainer", "inspect", option, "image.sif", here=here).out
    header = apptainer.run("apptainer", "sif", "header", "image.sif", here=here).out
    assert "amd64" in header or "arm64" in header
    assert "1980-01-01 00:00:00" in header
    assert "Squashfs/*System" in apptainer.run("apptainer", "sif", "list", "image.sif", here=here).out
    assert "/home/djed" in apptainer.run("apptainer", "run-help", "image.sif", here=here).out


@pytest.mark.needs("root", "mmdebstrap")
def test_python_of_a_debian_image_runs_in_its_environment(tmp_path: Path, here: Path) -> None:
    root, env = tmp_path / "image/root", tmp_path / "env"
    root.mkdir(parents=True)
    with debian_root().open("rb") as tar:
        layers.apply(tar, root)
    for name in ("usr/share", "usr/sbin", "usr/lib/x86_64-linux-gnu/perl-base", "var/lib", "var/cache"):
        shutil.rmtree(root / name, ignore_errors=True)  # to compress it all takes long, and changes nothing
    for program in (root / "usr/bin").iterdir():
        if program.name not in {"python3.11", "sh", "dash", "mkdir"}:
            program.unlink()
    packages = env / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    (packages / "brought.py").write_text("VALUE = 42\n")
    (env / "bin").mkdir()
    (env / "bin/python").symlink_to("/usr/bin/python3.11")
    (env / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    script = "import abc, brought, sys\nprint(brought.VALUE, sys.prefix, sys.argv[1:], abc.__spec__.origin)\n"
    run = Run(script=File(path="main.py", content=script), arguments=("a b",))
    bench = Bench(tmp_path / "jobs", env=env, layout=tmp_path / "image")
    bench.variables["PATH"] = "/nowhere"
    assembly = packaging(request(variables={}), run=run, image=image(), venv=venv_artifact())
    shutil.copy(bench.make(SifPackager(), assembly).path / "image.sif", here)

    said = machine().run("apptainer", "run", "image.sif", here=here).out
    assert said == "42 /opt/djed/env ['a b'] frozen\n"
    # Debian's compiled modules are valid for the times of their sources alone.
    verbose = (
        machine()
        .run("apptainer", "exec", "image.sif", "python", "-v", "-c", "import argparse", here=here)
        .err
    )
    assert "/usr/lib/python3.11/__pycache__/argparse.cpython-311.pyc matches" in verbose


# --- Made by Apptainer


@pytest.mark.needs("root", "mmdebstrap")
def test_apptainer_makes_it_where_it_is(bench: Bench, here: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    bench.folder = here / "jobs"
    bench.folder.mkdir()
    machine().lend(tmp_path / "bin", here=here)
    bench.variables["PATH"] = f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    run = Run(script=File(path="main", content=SCRIPT), arguments=("a b",))
    previous = os.umask(0)
    try:
        sealed = bench.make(SifPackager(), packaging(request(), run=run, image=image()))
    finally:
        os.umask(previous)
    assert not bench.errors
    with (sealed.path / "image.sif").open("rb") as file:
        found = read(file)
    assert found.labels["org.label-schema.usage.apptainer.version"]
    assert found.labels["org.opencontainers.image.base.digest"] == f"sha256:{HEX}"

    shutil.copy(sealed.path / "image.sif", here)
    machine().run("apptainer", "run", "image.sif", here=here)
    seen = dict(line.partition("=")[::2] for line in outputs(here / "outputs")["env"] if line)
    assert {name: seen.get(name) for name in HOSTILE} == HOSTILE


def test_where_apptainer_cannot_we_do(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text("#!/bin/sh\necho no user namespaces here >&2\nexit 1\n")
    (tmp_path / "bin/apptainer").chmod(0o755)
    bench.variables["PATH"] = f"{tmp_path}/bin"
    sealed = bench.make(SifPackager(), packaging(image=image()))
    assert bench.errors == "warning: apptainer could not build it: no user namespaces here\n"
    with (sealed.path / "image.sif").open("rb") as file:
        assert read(file).arch == platform.machine()


# --- By ourselves


def test_programs_of_the_environment_are_not_run(bench: Bench, tmp_path: Path) -> None:
    bench.env = tmp_path / "env"
    (bench.env / "bin").mkdir(parents=True)
    for name in ("apptainer", "sqfstar", "mksquashfs"):
        (bench.env / "bin" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (bench.env / "bin" / name).chmod(0o755)
    bench.variables["PATH"] = f"{bench.env}/bin"
    bench.make(SifPackager(), packaging(image=image(), venv=venv_artifact()))
    assert not bench.errors
    assert not (tmp_path / "ran").exists()


def test_same_bytes_every_time(bench: Bench) -> None:
    assembly = packaging(request(), run=Run(command=("id",)), image=image())
    first = bench.make(SifPackager(), assembly).path / "image.sif"
    time.sleep(1.1)  # times are whole seconds
    second = bench.make(SifPackager(), assembly).path / "image.sif"
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o755


def test_what_is_in_it(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "image/root"
    (root / "usr/bin/cat").chmod(0o4755)
    (root / "etc/secret").write_text("x")
    (root / "etc/secret").chmod(0o600)
    (root / "var/opt").mkdir()
    (root / "opt").symlink_to("var/opt")
    (root / ".singularity.d").mkdir()
    (root / ".singularity.d/runscript").write_text("exec evil")
    env = tmp_path / "env"
    (env / "bin").mkdir(parents=True)
    (env / "bin/tool").write_text("#!/bin/sh\n")
    (env / "bin/tool").chmod(0o700)
    bench.env = env
    sealed = bench.make(SifPackager(), packaging(image=image(), venv=venv_artifact()))
    into = tmp_path / "unpacked"
    into.mkdir()
    found = unpack_sif(sealed.path / "image.sif", into)
    assert found.labels["djed.environment"] == venv_artifact().digest
    assert stat.S_IMODE((into / "usr/bin/cat").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "etc/secret").stat().st_mode) == 0o600
    assert (
        stat.S_IMODE((into / "tmp").stat().st_mode) == 0o777
    )  # without its sticky bit, as all that is unpacked
    assert (into / "opt").readlink() == Path("var/opt")
    assert stat.S_IMODE((into / "var/opt/djed/env/bin/tool").stat().st_mode) == 0o755
    assert "evil" not in (into / ".singularity.d/runscript").read_text()
    assert (into / "usr/bin/sh").read_bytes() == (root / "usr/bin/sh").read_bytes()


def test_without_the_tools_there_is_a_hint(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "without.py"
    program.write_text(
        "import sys\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "from djed.toolbox import squashfs\n"
        "squashfs._ENV['PATH'] = '/nowhere'\n"
        "from djed.build.inside.report import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    job = SifPackager().render(packaging(image=image()))
    source = Path(squashfs.__file__).parents[2]
    job = replace(job, command=(job.command[0], str(program), str(source), *job.command[4:]))
    result, _ = bench.run(job)
    assert result.exit_code == 1
    assert "djed: error: no_engine: There is no sqfstar on this machine." in bench.errors
    assert "apt-get install squashfs-tools" in bench.errors


def test_a_root_that_leads_astray_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "image/root/home").symlink_to("home")
    result, _ = bench.run(SifPackager().render(packaging(image=image())))
    assert result.exit_code == 1
    assert "in circles" in bench.errors
