"""What requires what: requirements resolved to what was found."""

from __future__ import annotations

import pytest

from djed.model.contents import Contents, FoundInterpreter, NativeKind, NativePackage, PythonPackage
from djed.observe.contents import edges
from djed.observe.contents.debversion import compare, satisfies
from djed.observe.contents.native_edges import _RICH, _rich


def found(
    native: tuple[NativePackage, ...] = (), python: tuple[PythonPackage, ...] = (), **more: object
) -> Contents:
    return Contents(target="x", kind="root", native=native, python=python, **more)  # type: ignore[arg-type]


def native(kind: NativeKind, name: str, version: str = "1", **more: tuple[str, ...]) -> NativePackage:
    return NativePackage(kind=kind, name=name, version=version, **more)  # type: ignore[arg-type]


def of(contents: Contents) -> list[tuple[str, str]]:
    return [(one.partition("/")[2], other.partition("/")[2]) for one, other in edges(contents)]


DEBS = (
    native("deb", "mawk", provides=("awk",)),
    native("deb", "gawk", "1:5.2", provides=("awk (= 5)",)),
    native("deb", "libc6", "2.36-9+deb12u10"),
    native("deb", "old", "1.0~rc1"),
)


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("libc6", ["libc6"]),
        ("libc6:any (>= 2.34)", ["libc6"]),
        ("libc6 (>= 2.37) | old", ["old"]),
        ("libc6 (>= 2.37)", []),
        ("missing | libc6 | old", ["libc6"]),
        ("awk", ["gawk", "mawk"]),
        ("awk (>= 4)", ["gawk"]),
        ("awk (>= 6)", []),
        ("old (>= 1.0)", []),
        ("old (<< 1.0) [amd64] <!nocheck>", ["old"]),
        ("gawk (= 1:5.2)", ["gawk"]),
        ("self", []),
        ("", []),
        ("(((", []),
    ],
)
def test_debian_relations(line: str, targets: list[str]) -> None:
    assert of(found((*DEBS, native("deb", "self", depends=(line,))))) == [("self", name) for name in targets]
    assert of(found((*DEBS, native("deb", "self", pre_depends=(line,))))) == [
        ("self", name) for name in targets
    ]


# Pairs that dpkg --compare-versions orders so.
ORDERED = [
    "~",
    "1.0~~",
    "1.0~rc1-1",
    "1.0",
    "1.0-1~bpo",
    "1.0-1",
    "1.0-1+b1",
    "1.0a",
    "1.0+",
    "1.0.1",
    "1.2",
    "1.10",
    "1:0.5",
    "2:0",
]


def test_debian_versions_are_ordered() -> None:
    for index, one in enumerate(ORDERED):
        for other in ORDERED[index + 1 :]:
            assert compare(one, other) < 0 < compare(other, one), (one, other)
        assert compare(one, one) == 0
    assert compare("1.0", "01.00-0") == 0
    assert compare("x:1", "1") != 0
    assert not satisfies("1", "~", "1")
    assert compare("9" * 100_000, "9" * 100_001) < 0


RPMS = (
    native("rpm", "glibc", provides=("libc.so.6(GLIBC_2.34)(64bit)", "glibc = 2.34")),
    native("rpm", "bash", provides=("bash = 5",)).__class__(
        kind="rpm", name="bash", version="5", paths=("/usr/bin/sh",)
    ),
    native("rpm", "langpack"),
)


@pytest.mark.parametrize(
    ("line", "targets"),
    [
        ("libc.so.6(GLIBC_2.34)(64bit)", ["glibc"]),
        ("glibc >= 2.30", ["glibc"]),
        ("/usr/bin/sh", ["bash"]),
        ("rpmlib(FileDigests) <= 4.6.0-1", []),
        ("(missing or bash >= 5 or glibc)", ["bash"]),
        ("(glibc and bash)", ["bash", "glibc"]),
        ("(langpack if bash)", ["langpack"]),
        ("(langpack if missing)", []),
        ("(langpack if missing else glibc)", ["glibc"]),
        ("(langpack unless missing)", ["langpack"]),
        ("(glibc with libc.so.6(GLIBC_2.34)(64bit))", ["glibc"]),
        ("(glibc without libc.so.6(GLIBC_2.34)(64bit))", []),
        ("((missing or bash) and (glibc if bash))", ["bash", "glibc"]),
        ("(", []),
        ("(((", []),
        ("(bash or", []),
        ("()", []),
        ("(" * 300 + "bash" + ")" * 300, []),
    ],
)
def test_rpm_requirements(line: str, targets: list[str]) -> None:
    assert of(found((*RPMS, native("rpm", "self", depends=(line,))))) == [("self", name) for name in targets]


def test_deeply_nested_rich_requirements_end() -> None:
    assert _rich(_RICH.findall("(" * 90 + "a" + ")" * 90), {"a": ("a",)}) == ["a"]


def test_apk_requirements() -> None:
    packages = (
        native("apk", "musl", provides=("so:libc.musl-x86_64.so.1=1",)),
        native(
            "apk", "busybox", provides=("cmd:sh=1.36",), depends=("so:libc.musl-x86_64.so.1", "!uclibc", "=")
        ),
        native("apk", "x", depends=("busybox>=1.30", "cmd:sh", "musl~1.2", "missing")),
    )
    assert of(found(packages)) == [("busybox", "musl"), ("x", "busybox"), ("x", "musl")]


def python(name: str, *requires: str, location: str = "/usr/lib/python3.11/site-packages") -> PythonPackage:
    return PythonPackage(name=name, version="1", location=location, requires=requires)


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("b", True),
        ("B>=2,<3", True),
        ("b[extra] (>1)", True),
        ('b; python_version < "3.12"', True),
        ('b; python_version < "3.8"', False),
        ('b ; python_full_version >= "3.11.4"', True),
        ('b; sys_platform == "win32"', False),
        ('b; extra == "async"', False),
        ('b; extra == "async" or os_name == "posix"', True),
        ('b; platform_machine == "aarch64"', True),
        ("b @ https://index.example/b.zip;x=1", True),
        ('b @ https://index.example/b.zip ; extra == "x"', False),
        ("b; this is no marker", False),
        ("b; " + "(" * 5000, False),
        ("b; " + "(" * 3000 + "a", False),
        ("missing", False),
        ("", False),
        (";", False),
    ],
)
def test_python_requirements(line: str, there: bool) -> None:
    contents = found(
        python=(python("A", line), python("b")),
        interpreters=(FoundInterpreter(path="/usr/bin/python3", version="3.11.4"),),
        config={"architecture": "arm64"},
    )
    assert of(contents) == ([("a", "b")] if there else [])


def test_each_distribution_is_of_its_own_python() -> None:
    line = 'b; python_version >= "3.12"'
    contents = found(
        python=(
            python("new", line, location="/opt/venv/lib/python3.13/site-packages"),
            python("old", line),
            python("system", line, location="/usr/lib/python3/dist-packages"),
            python("b"),
        ),
        interpreters=(
            FoundInterpreter(path="/usr/bin/python3", version="3.12.1"),
            FoundInterpreter(path="/opt/venv/bin/python", version="3.13.0rc1"),
        ),
    )
    assert of(contents) == [("new", "b"), ("system", "b")]


def test_names_say_their_kind() -> None:
    contents = found(
        (native("deb", "a", depends=("b",)), native("deb", "b"), native("apk", "b")),
        (python("Zope.Interface", "B"), python("b")),
    )
    assert list(edges(contents)) == [("deb/a", "deb/b"), ("pypi/zope-interface", "pypi/b")]
