"""Contents beside what the system's own tools say of the same root, the same environment, the same libraries: complete sets."""

from __future__ import annotations

import hashlib
import importlib.metadata as md
import platform
import re
import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from djed.model.contents import Contents
from djed.observe.contents import edges, read_contents
from djed.toolbox.oci import Layout, unpack
from tests.support.images import debian_root, layout_of

FIELDS = (
    "Package",
    "Version",
    "Architecture",
    "Source",
    "Depends",
    "Pre-Depends",
    "Replaces",
    "Provides",
    "Installed-Size",
)
SITE = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def layout() -> Path:
    return layout_of(debian_root())


@pytest.fixture(scope="module")
def root(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("contents") / "root"
    unpack(layout, Layout(layout).choose(platform.machine()), root)
    return root


@pytest.fixture(scope="module")
def contents(root: Path) -> Contents:
    return read_contents(root, "bookworm", "root")


@pytest.fixture(scope="module")
def own() -> Contents:
    """The environment that these tests run in."""
    return read_contents(Path(sys.prefix), "venv", "venv")


def inside(root: Path, *command: str) -> str:
    """Output of a command of the root itself."""
    bwrap = (
        "bwrap",
        "--unshare-all",
        "--die-with-parent",
        "--ro-bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    )
    return subprocess.run((*bwrap, *command), capture_output=True, text=True, check=True).stdout


def relations(value: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in value.split(",") if part.strip())


@pytest.mark.needs("mmdebstrap", "bwrap")
def test_native_packages_are_those_of_dpkg_with_every_field(root: Path, contents: Contents) -> None:
    form = "\\x1f".join(f"${{{field}}}" for field in FIELDS) + "\\x1e"
    said = [
        tuple(record.split("\x1f"))
        for record in inside(
            root, "dpkg-query", "-W", "-f", form.replace("\\x1f", "\x1f").replace("\\x1e", "\x1e")
        ).split("\x1e")
        if record
    ]
    assert len(said) > 100
    assert {
        (
            package.name, package.version, package.arch, package.source, package.depends, package.pre_depends, package.replaces,
            package.provides, package.size,
        )
        for package in contents.native
    } == {
        (name, version, arch, source or None, *map(relations, (depends, pre, replaces, provides)), int(size) * 1024 if size else None)
        for name, version, arch, source, depends, pre, replaces, provides, size in said
    }  # fmt: skip


@pytest.mark.needs("mmdebstrap", "bwrap")
def test_every_requirement_of_a_native_package_has_its_edge(contents: Contents) -> None:
    """A root that mmdebstrap made has all that is required: each line must lead somewhere, and nothing else may."""
    found = {
        (one.removeprefix("deb/"), other.removeprefix("deb/"))
        for one, other in edges(contents)
        if one.startswith("deb/")
    }
    names = {package.name for package in contents.native}
    provided = {line.split()[0]: package.name for package in contents.native for line in package.provides}
    expected = set()
    for package in contents.native:
        for line in (*package.depends, *package.pre_depends):
            targets = [re.split(r"[ :]", alternative.strip())[0] for alternative in line.split("|")]
            there = [name if name in names else provided.get(name) for name in targets]
            target = next((name for name in there if name), None)
            assert target is not None, f"{package.name}: {line}"
            if target != package.name:
                expected.add((package.name, target))
    assert found == expected


@pytest.mark.needs("mmdebstrap", "bwrap")
def test_system_interpreters_and_sources_are_those_of_the_root(root: Path, contents: Contents) -> None:
    assert contents.os_release["VERSION_CODENAME"] == "bookworm"
    version = inside(root, "python3", "-c", "import platform; print(platform.python_version())").strip()
    assert {found.path: found.version for found in contents.interpreters} == {
        "/usr/bin/python3": version,
        "/usr/bin/python3.11": version,
    }
    digests = {
        f"/{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.py")
        if path.is_file() and not path.is_symlink()
    }
    assert {file.path: file.sha256 for file in contents.python_files} == digests
    assert contents.skipped == ()


@pytest.mark.needs("mmdebstrap", "gcc")
def test_symbol_versions_are_those_that_readelf_tells(root: Path, contents: Contents) -> None:
    folder = root / f"usr/lib/{sysconfig.get_config_var('MULTIARCH') or 'x86_64-linux-gnu'}"
    expected = {}
    for library in [
        path for path in folder.iterdir() if ".so" in path.name and path.is_file() and not path.is_symlink()
    ]:
        told = subprocess.run(["readelf", "-VW", library], capture_output=True, text=True, check=False).stdout
        _, _, section = told.partition("Version definition section")
        section = section.partition("Version needs section")[0]
        versions = re.findall(r"Flags: (?!BASE).*Name: (\S+)", section)
        if versions:
            expected[f"/{library.relative_to(root)}"] = tuple(versions)
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6" in expected or platform.machine() != "x86_64"
    assert {
        path: found
        for path, found in contents.symbols.items()
        if path.startswith(f"/{folder.relative_to(root)}/")
    } == expected


def test_python_packages_are_those_of_importlib_metadata(own: Contents) -> None:
    location = f"/{SITE.relative_to(sys.prefix)}"
    found = [package for package in own.python if package.location == location]
    said = list(md.distributions(path=[str(SITE)]))
    assert len(said) > 30
    assert Counter((package.name, package.version) for package in found) == Counter(
        (dist.name, dist.version) for dist in said
    )
    requires = {
        package.name: Counter(" ".join(line.split()) for line in package.requires) for package in found
    }
    assert requires == {
        dist.name: Counter(" ".join(line.split()) for line in dist.requires or ()) for dist in said
    }
    assert {package.name: package.requires_python for package in found} == {
        dist.name: next(iter(dist.metadata.get_all("Requires-Python") or ()), None) for dist in said
    }
    assert {package.name: package.files for package in found} == {
        dist.name: len((dist.read_text("RECORD") or "").split("\n")) - 1 for dist in said
    }


def test_every_requirement_of_a_python_package_has_its_edge(own: Contents) -> None:
    """Of all that is there, tools' own copies of packages included, by the markers of this very Python."""
    places = {package.location for package in own.python}
    dists = [dist for place in sorted(places) for dist in md.distributions(path=[f"{sys.prefix}{place}"])]
    names = {canonicalize_name(dist.name) for dist in dists}
    expected = set()
    for dist in dists:
        for requirement in map(Requirement, dist.requires or ()):
            name = canonicalize_name(requirement.name)
            if name in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                expected.add((f"pypi/{canonicalize_name(dist.name)}", f"pypi/{name}"))
    assert set(edges(own)) == {pair for pair in expected if pair[0] != pair[1]}
