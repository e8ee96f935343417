"""What differs in what is inside two things."""

from __future__ import annotations

from dataclasses import replace

from djed.model.contents import Contents, FoundInterpreter, Layer, NativePackage, PythonPackage
from djed.model.difference import Change, ContentsDifference
from djed.observe.contents_difference import contents_difference, native_changes
from tests.support.contents import IMAGE


def deb(name: str, version: str, arch: str = "amd64") -> NativePackage:
    return NativePackage(kind="deb", name=name, version=version, arch=arch)


def dist(name: str, version: str, location: str = "/lib") -> PythonPackage:
    return PythonPackage(name=name, version=version, location=location)


def change(name: str, before: object, after: object) -> Change:
    return Change(name=name, before=before, after=after)


def test_same_contents_differ_in_nothing_but_share_their_layers() -> None:
    assert contents_difference(IMAGE, IMAGE) == ContentsDifference(shared_layers=1, shared_size=12)


def test_native_packages_added_removed_changed_and_of_two_architectures() -> None:
    a = (deb("a", "1"), deb("b", "1"), deb("c", "1"), deb("libc6", "2"), deb("same", "1"))
    b = (
        deb("b", "2"),
        deb("c", "1"),
        deb("d", "1"),
        deb("libc6", "2"),
        deb("libc6", "2", "i386"),
        deb("same", "1"),
    )
    assert native_changes(a, b) == (
        change("a", "1", None),
        change("b", "1", "2"),
        change("d", None, "1"),
        change("libc6", "2", "2 (amd64), 2 (i386)"),
    )


def test_python_packages_by_whatever_spelling_and_in_two_places() -> None:
    a = Contents(target="a", kind="root", python=(dist("Ruamel.Yaml", "1"), dist("six", "1")))
    b = Contents(
        target="b", kind="root", python=(dist("ruamel-yaml", "1"), dist("six", "1"), dist("six", "2", "/opt"))
    )
    assert contents_difference(a, b).python == (change("six", "1", "1 (/lib), 2 (/opt)"),)


def test_system_settings_and_variables() -> None:
    a = replace(IMAGE, config={"user": "root", "variables": {"A": "1", "B": "1"}, "labels": {"x": "1"}})
    b = replace(
        IMAGE,
        os_release={**IMAGE.os_release, "VERSION_ID": "13"},
        interpreters=(FoundInterpreter(path="/usr/bin/python3.13", version="3.13.1"),),
        cuda={},
        config={"variables": {"A": "2", "C": "1"}, "command": ["sh"]},
    )
    found = contents_difference(a, b)
    assert found.system == (
        change("cuda", ["12.4.1"], None),
        change("interpreters", ["3.11.2"], ["3.13.1"]),
        change("os_version", "12", "13"),
    )
    assert found.variables == (change("A", "1", "2"), change("B", "1", None), change("C", None, "1"))
    assert found.settings == (
        change("command", None, ["sh"]),
        change("labels.x", "1", None),
        change("user", "root", None),
    )


def test_symbols_of_a_library_wherever_its_file_is() -> None:
    a = replace(IMAGE, symbols={"/lib/libz.so.1.2.13": ("Z_1", "Z_2"), "/lib/liba.so.1": ("A",)})
    b = replace(IMAGE, symbols={"/usr/lib/x/libz.so.1.3": ("Z_1", "Z_3"), "/lib/libb.so.1": ("B",)})
    assert contents_difference(a, b).symbols == (change("libz.so.1", ["Z_2"], ["Z_3"]),)


def test_layers_that_both_have_are_counted() -> None:
    layers = [Layer(digest=f"sha256:{number:064x}", size=number) for number in (1, 2, 4, 8)]
    a, b = replace(IMAGE, layers=tuple(layers[:3])), replace(IMAGE, layers=(*layers[:2], layers[3]))
    found = contents_difference(a, b)
    assert (found.shared_layers, found.shared_size) == (2, 3)
    assert found.layers == (change(layers[2].digest, 4, None), change(layers[3].digest, None, 8))


def test_configuration_of_the_wrong_type_differs_in_nothing() -> None:
    odd = replace(IMAGE, config={"variables": ["A=1"], "labels": 7})
    assert contents_difference(odd, replace(IMAGE, config={})).variables == ()
