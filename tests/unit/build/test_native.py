"""The builder of native packages, without an engine: what it renders, how it names, what it understands."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from djed.build.base import BuildError
from djed.build.inside.names import plain_name, provided_name
from djed.build.inside.native import Listener
from djed.build.interface import Assembly
from djed.build.native import NativeBuilder, installed, native_words
from djed.model.artifact import Artifact
from djed.model.contents import NativePackage
from djed.model.image import Image, PackageManager
from djed.model.request import Environment
from tests.support.assemblies import ASSEMBLY

IMAGE = Image(reference="debian:12", digest="sha256:" + "a" * 64, arch="x86_64", package_manager="apt")
BASE = Artifact(
    digest="sha256:" + "b" * 64, kind="image", path="image/b", size=1, manifest="sha256:m", image=IMAGE
)
HOSTILE = (
    "a; rm -rf /",
    "$(id)",
    "`id`",
    "a\nb",
    "a'b",
    'a"b',
    "--allow-unauthenticated",
    "-o=Dpkg::x",
    "a b",
    "../../x.deb",
    "/tmp/x.deb",
    "a|b",
    "a\\",
    "a*",
    "a?",
    "^a",
    "a$",
    "a=1 b",
    "a=$x",
    "ä",
    "",
    "a" * 300,
)


def asking(*native: str, manager: PackageManager | None = "apt", salt: str | None = None) -> Assembly:
    base = replace(BASE, image=replace(IMAGE, package_manager=manager))
    return replace(ASSEMBLY, environment=Environment(base="debian:12", native=native), image=base, salt=salt)


def test_the_digest_is_that_of_the_base_and_the_names() -> None:
    digest = NativeBuilder().digest(asking("b", "a"))
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert digest == NativeBuilder().digest(asking("a", "b", "a"))
    assert digest != NativeBuilder().digest(asking("a"))
    assert digest != NativeBuilder().digest(asking("a", "b", salt="x"))
    other = asking("a", "b")
    assert other.image is not None
    other = replace(other, image=replace(BASE, image=replace(IMAGE, digest="sha256:" + "c" * 64)))
    assert digest != NativeBuilder().digest(other)


def test_names_are_in_a_file_and_nothing_of_a_request_is_in_the_recipe() -> None:
    job = NativeBuilder().render(asking("libgomp1", "git=1:2.39.5-0+deb12u2", "g++"))
    files = {file.path: file.text for file in job.files}
    assert files["context/djed/names"] == "g++\ngit=1:2.39.5-0+deb12u2\nlibgomp1\n"
    recipe = files["context/Containerfile"] or ""
    assert recipe.splitlines()[-1] == 'RUN ["/bin/sh", "/djed/native/native.sh", "apt"]'
    assert "libgomp1" not in recipe
    assert (job.kind, job.engine, job.tools, job.network, job.image) == (
        "native",
        True,
        True,
        True,
        BASE.digest,
    )


@pytest.mark.parametrize(
    ("name", "manager"),
    [("libgomp1-", "apt"), *((name, manager) for name in HOSTILE for manager in ("apt", "dnf", "apk"))],
)
def test_a_hostile_name_is_no_name(name: str, manager: PackageManager) -> None:
    with pytest.raises(BuildError) as caught:
        NativeBuilder().render(asking(name, manager=manager))
    assert caught.value.failure.kind == "no_such_native"
    assert "\n" not in caught.value.failure.message


@pytest.mark.parametrize(
    ("manager", "name", "word"),
    [
        ("apt", "libstdc++6:amd64=12.2.0-14", "libstdc++6:amd64=12.2.0-14"),
        ("dnf", "glibc=2.34-100.el9", "glibc-2.34-100.el9"),
        ("yum", "java-1.8.0-openjdk", "java-1.8.0-openjdk"),
        ("microdnf", "perl-IO=1:2.3~rc1", "perl-IO-1:2.3~rc1"),
        ("apk", "libgomp=13.2.1_git20231014-r0", "libgomp=13.2.1_git20231014-r0"),
        ("apk", "py3-numpy~1.25", "py3-numpy~1.25"),
    ],
)
def test_a_version_is_written_as_the_package_manager_takes_it(
    manager: PackageManager, name: str, word: str
) -> None:
    assert native_words([name], replace(IMAGE, package_manager=manager)) == (word,)


def test_a_base_that_installs_nothing() -> None:
    with pytest.raises(BuildError, match="Nothing in the base debian:12 installs packages"):
        NativeBuilder().render(asking("a", manager=None))


def test_what_stands_for_a_name() -> None:
    def deb(name: str, version: str, *provides: str, arch: str = "amd64") -> NativePackage:
        return NativePackage(kind="deb", name=name, version=version, arch=arch, provides=provides)

    image = replace(
        IMAGE,
        native=(
            deb("a", "1"),
            deb("a", "1", arch="i386"),
            deb("nullmailer", "2", "mail-agent (= 2)"),
            deb("z", "9"),
        ),
    )
    found = installed(image, ["z=9", "mail-agent", "a", "nowhere", "z"])
    assert [(item.name, item.arch) for item in found] == [
        ("z", "amd64"),
        ("nullmailer", "amd64"),
        ("a", "amd64"),
        ("a", "i386"),
    ]
    assert all(not item.provides for item in found)


def test_names_as_databases_write_them() -> None:
    assert [plain_name(text) for text in ("git=1:2.3", "libc6:amd64=2", "py3~1", "g++")] == [
        "git",
        "libc6",
        "py3",
        "g++",
    ]
    written = ("mail-agent", "libfoo (= 1.2)", "so:libc.so.6=1", "python3:any", "libx.so.1()(64bit)", "")
    assert [provided_name(text) for text in written] == [
        "mail-agent",
        "libfoo",
        "so:libc.so.6",
        "python3",
        "libx.so.1",
        "",
    ]


def test_a_listener_keeps_names_to_itself_and_says_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Listener(numbered=True)
    for line in ("#7 0.315 Reading", "#7 DONE", "#7 1.0 djed-name: libgomp1", "\x1b[0mdjed-name: libz1"):
        listener.hear(line)
    listener.hear("#8 2.0 djed-version: git 1:2.39")
    listener.hear("djed-name: two words")
    listener.suggest(["libgomp9", "libgomp1", "git=2", "git", "qqqqqq"])
    assert capsys.readouterr().out.splitlines() == [
        "Reading",
        "DONE",
        "djed-name: two words",
        "djed: nearest: libgomp9: libgomp1",
        "djed: versions: git: 1:2.39",
    ]
