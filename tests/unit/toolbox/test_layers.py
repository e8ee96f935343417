"""Layers: what they hide, bring and replace, with links as real images have them; and layers that are the same every time."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.errors import ConflictError, DjedError, UnsafeError
from djed.toolbox.archive import CAPS, Caps
from djed.toolbox.layers import TextFile, Tree, apply, write_layer
from tests.support.tars import END, entry, pax, state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def _put(root: Path, *parts: bytes, caps: Caps = CAPS) -> dict[str, object]:
    apply(io.BytesIO(b"".join(parts) + END), root, caps=caps, name="the layer")
    return state(root)


def _folder(name: bytes, mode: int = 0o755) -> bytes:
    return entry(name, kind=b"5", mode=mode)


def _link(name: bytes, target: bytes) -> bytes:
    return entry(name, kind=b"2", target=target)


# --- Over what is there


def test_later_replaces_earlier_whatever_they_are(root: Path) -> None:
    _put(
        root,
        entry(b"file", b"1"),
        _folder(b"folder"),
        entry(b"folder/x"),
        _link(b"link", b"file"),
        entry(b"kept", b"k"),
    )
    found = _put(root, _folder(b"file"), entry(b"folder", b"2"), entry(b"link", b"3"))
    assert found == {"file": "folder", "folder": b"2", "link": b"3", "kept": b"k"}


def test_a_folder_keeps_what_is_in_it_and_takes_the_new_mode(root: Path) -> None:
    _put(root, entry(b"d/x", b"1"))
    assert _put(root, _folder(b"d", 0o711)) == {"d": "folder", "d/x": b"1"}
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o711


def test_in_one_layer_the_last_counts(root: Path) -> None:
    assert _put(root, entry(b"f", b"1"), entry(b"f", b"2")) == {"f": b"2"}


def test_a_file_with_two_names_is_not_written_through(root: Path) -> None:
    _put(root, entry(b"a", b"1"), entry(b"b", kind=b"1", target=b"a"))
    assert _put(root, entry(b"b", b"2")) == {"a": b"1", "b": b"2"}


def test_whiteouts_hide_what_is_below(root: Path) -> None:
    _put(root, entry(b"a", b"1"), entry(b"d/x", b"1"), entry(b"d/y", b"1"), entry(b"e/deep/x", b"1"))
    found = _put(root, entry(b".wh.a"), entry(b"d/.wh.x"), entry(b".wh.e"), entry(b"none/.wh.never"))
    assert found == {"d": "folder", "d/y": b"1"}


@pytest.mark.parametrize("late", [False, True])
def test_an_opaque_folder_hides_all_but_what_its_layer_brings(root: Path, late: bool) -> None:
    _put(root, entry(b"d/old", b"1"), entry(b"d/s/old", b"1"), entry(b"d/s/t", b"1"))
    brought = [entry(b"d/new", b"2"), entry(b"d/s/new", b"2")]
    opaque = [entry(b"d/.wh..wh..opq")]
    found = _put(root, *(brought + opaque if late else opaque + brought))
    assert found == {"d": "folder", "d/new": b"2", "d/s": "folder", "d/s/new": b"2"}


def test_a_whiteout_of_a_folder_that_the_layer_fills_again(root: Path) -> None:
    _put(root, entry(b"d/old", b"1"))
    assert _put(root, entry(b"d/new", b"2"), entry(b".wh.d")) == {"d": "folder", "d/new": b"2"}


def test_a_whiteout_may_come_after_what_replaced_its_folder(root: Path) -> None:
    """Other programs write both."""
    _put(root, entry(b"d/x", b"1"))
    assert _put(root, entry(b"d", b"2"), entry(b"d/.wh.x"), entry(b"d/.wh..wh..opq")) == {"d": b"2"}


def test_a_whiteout_never_reaches_through_a_link(root: Path) -> None:
    _put(root, entry(b"d/x", b"1"), _link(b"l", b"d"))
    assert _put(root, entry(b".wh.l")) == {"d": "folder", "d/x": b"1"}


def test_what_other_programs_note_is_left_out(root: Path) -> None:
    assert _put(root, entry(b".wh..wh.plnk")) == {}


@pytest.mark.parametrize("name", [b".wh.", b"d/.wh..", b".wh..."])
def test_whiteouts_of_nothing_are_refused(root: Path, name: bytes) -> None:
    with pytest.raises(UnsafeError, match="whiteout"):
        _put(root, entry(b"d/x"), entry(name))


def test_a_whiteout_with_content_is_refused(root: Path) -> None:
    with pytest.raises(UnsafeError, match="whiteout"):
        _put(root, entry(b".wh.x", b"1"))


# --- Links on the way


def test_entries_behind_a_link_land_where_it_leads(root: Path) -> None:
    """As with ``bin -> usr/bin``, when a later layer still says ``bin/foo``."""
    _put(root, _folder(b"usr"), _folder(b"usr/bin"), _link(b"bin", b"usr/bin"))
    found = _put(
        root, entry(b"bin/foo", b"1"), entry(b"bin/.wh.bar"), entry(b"bar", kind=b"1", target=b"bin/foo")
    )
    assert found["bin"] == ("link", "usr/bin")
    assert found["usr/bin/foo"] == b"1"
    assert (root / "bar").samefile(root / "usr/bin/foo")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (b"/real", "real/x"),
        (b"real", "real/x"),
        (b"../../../real", "real/x"),
        (b"/../real", "real/x"),
        (b"/", "x"),
        (b"..", "x"),
        (b"new/../made", "made/x"),
    ],
)
def test_a_link_means_what_it_means_inside(root: Path, target: bytes, place: str) -> None:
    found = _put(root, _folder(b"real"), _link(b"l", target), entry(b"l/x", b"1"))
    assert found[place] == b"1"
    assert found["l"] == ("link", target.decode())


def test_links_are_kept_as_they_are(root: Path) -> None:
    found = _put(root, _link(b"etc/mtab", b"/proc/mounts"), _link(b"up", b"../../../etc/passwd"))
    assert found["etc/mtab"] == ("link", "/proc/mounts")
    assert found["up"] == ("link", "../../../etc/passwd")


def test_a_link_may_have_a_second_name(root: Path) -> None:
    assert _put(root, _link(b"l", b"/x"), entry(b"m", kind=b"1", target=b"l"))["m"] == ("link", "/x")


def test_after_a_link_is_replaced_its_way_is_forgotten(root: Path) -> None:
    found = _put(
        root, _folder(b"a"), _link(b"l", b"a"), entry(b"l/x", b"1"), _folder(b"l"), entry(b"l/y", b"2")
    )
    assert found == {"a": "folder", "a/x": b"1", "l": "folder", "l/y": b"2"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([_link(b"a", b"b"), _link(b"b", b"a"), entry(b"a/x")], "too many links"),
        ([entry(b"f", b"1"), entry(b"f/x")], "no folder"),
        (
            [_link(b"a", b"n" * 90 + b"/" + b"n" * 9), _link(b"b", b"a"), entry(b"b/c/d/e/f/x")],
            "deeper than 5",
        ),
        ([entry(b"x", kind=b"1", target=b"d"), _folder(b"d")], "no file in it"),
        ([_folder(b"d"), entry(b"x", kind=b"1", target=b"d")], "no file in it"),
        ([entry(b"x", kind=b"1", target=b"x")], "no file in it"),
        ([entry(b"pipe", kind=b"6")], "is a fifo outside of dev"),
        ([entry(b"run/disk", kind=b"4")], "is a device outside of dev"),
        ([entry(b".", b"x")], "in place of the root"),
        ([_link(b".", b"x")], "in place of the root"),
        ([_link(b"l", b"")], "broken target"),
        ([entry(b"h", kind=b"1", target=b"./")], "broken target"),
    ],
)
def test_what_cannot_be_is_refused(root: Path, parts: list[bytes], words: str) -> None:
    with pytest.raises(UnsafeError, match=f"^the layer holds .*{words}"):
        _put(root, *parts, caps=Caps(depth=5))


def test_a_name_behind_a_link_may_be_too_long(root: Path) -> None:
    with pytest.raises(UnsafeError, match="too long a name"):
        _put(root, pax({"linkpath": b"n" * 300}), _link(b"l", b"x"), entry(b"l/x"))


def test_folders_that_nobody_named_are_counted(root: Path) -> None:
    with pytest.raises(UnsafeError, match="one folder too many"):
        _put(root, entry(b"a/b/c/d/x"), caps=Caps(entries=3))


def test_devices_below_dev_are_left_out(root: Path) -> None:
    parts = [
        _folder(b"dev"),
        entry(b"dev/null", kind=b"3"),
        entry(b"dev/pts/x", kind=b"6"),
        _link(b"dev/fd", b"/proc/self/fd"),
    ]
    assert _put(root, *parts) == {"dev": "folder", "dev/fd": ("link", "/proc/self/fd")}


def test_a_layer_may_go_without_the_mark_at_its_end(root: Path) -> None:
    apply(io.BytesIO(entry(b"f", b"x")), root)
    apply(io.BytesIO(b""), root)
    assert state(root) == {"f": b"x"}


# --- Written


def _layer(*trees: Tree | TextFile, epoch: int = 0) -> bytes:
    file = io.BytesIO()
    written = write_layer(trees, file, epoch=epoch)
    assert written.size == len(file.getvalue())
    assert written.digest == written.diff_id
    return file.getvalue()


def _fill(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    names = ["b", "a/z", "a/b/c", "a.x", "a-b/c", "Z"]
    one, two = _fill(tmp_path / "1", names), _fill(tmp_path / "2", names[::-1])
    (two / "b").chmod(0o600)
    os.utime(two / "b", (5, 5))
    (two / "a").chmod(0o777)
    made = _layer(Tree(source=one, target="/opt/x"), epoch=7)
    assert made == _layer(Tree(source=two, target="/opt/x"), epoch=7)
    assert made != _layer(Tree(source=two, target="/opt/x"), epoch=8)
    (two / "b").chmod(0o711)
    assert made != _layer(Tree(source=two, target="/opt/x"), epoch=7)


def test_what_is_written_is_what_is_applied(tmp_path: Path, root: Path) -> None:
    tree = _fill(tmp_path / "t", ["bin/run", "lib/" + "n" * 200, "é/ü"])
    (tree / "bin/run").chmod(0o744)
    (tree / "link").symlink_to("/nowhere/" + "m" * 150)
    os.link(tree / "bin/run", tree / "lib/again")
    config = TextFile(path="/etc/x.conf", data=b"conf", mode=0o4640, uid=7)
    apply(io.BytesIO(_layer(Tree(source=tree, target="/opt/x", uid=5, gid=6), config)), root)
    found = state(root)
    assert {
        path.removeprefix("opt/x/"): what for path, what in found.items() if path.startswith("opt/x/")
    } == state(tree)
    assert found["etc/x.conf"] == b"conf"
    assert (root / "opt/x/bin/run").samefile(root / "opt/x/lib/again")
    assert stat.S_IMODE((root / "opt/x/bin/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "etc/x.conf").stat().st_mode) == 0o640


def test_entries_are_sorted_with_folders_first(tmp_path: Path) -> None:
    tree = _fill(tmp_path / "t", ["a/x", "a.b", "a-b/c"])
    with tarfile.open(fileobj=io.BytesIO(_layer(Tree(source=tree, target="/o", uid=2**22)))) as made:
        members = made.getmembers()
    assert [one.name for one in members] == ["o", "o/a", "o/a/x", "o/a-b", "o/a-b/c", "o/a.b"]
    assert {(one.uid, one.gid, one.mtime, one.uname, one.gname) for one in members} == {(2**22, 0, 0, "", "")}


def test_a_root_is_kept_as_it_is(tmp_path: Path, root: Path) -> None:
    tree = _fill(tmp_path / "t", ["x", "dev/y"])
    (tree / "x").chmod(0o4640)
    os.utime(tree / "x", (1_500_000_000, 1_500_000_000))
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    os.mkfifo(tree / "dev/pipe")
    apply(io.BytesIO(_layer(Tree(source=tree, target="/", keep=True))), root)
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o640
    assert (root / "x").stat().st_mtime == 1_500_000_000
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert state(root) == {"x": b"x", "dev": "folder", "dev/y": b"dev/y", "tmp": "folder"}


def test_the_later_of_two_files_counts(tmp_path: Path) -> None:
    tree = _fill(tmp_path / "t", ["x", "y"])
    over = TextFile(path="/o/x", data=b"over")
    file = _layer(Tree(source=tree, target="/o"), over)
    (tree / "x").write_bytes(b"over")
    assert file == _layer(Tree(source=tree, target="/o"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_path_is_not_both_file_and_folder(tmp_path: Path, order: int) -> None:
    parts: list[Tree | TextFile] = [Tree(source=_fill(tmp_path / "t", ["x/y"]), target="/o")]
    parts.append(TextFile(path="/o/x", data=b""))
    with pytest.raises(ConflictError, match="/o/x"):
        _layer(*parts[::order])


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\0b", "/./a"])
def test_targets_are_plain_paths(path: str) -> None:
    with pytest.raises(UnsafeError, match="no plain absolute path"):
        _layer(TextFile(path=path, data=b""))


def test_what_would_hide_or_is_special_is_refused(tmp_path: Path) -> None:
    tree = _fill(tmp_path / "t", ["d/.wh.passwd"])
    with pytest.raises(UnsafeError, match=r"d/\.wh\.passwd"):
        _layer(Tree(source=tree, target="/"))
    (tree / "d/.wh.passwd").unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "s"))
    with pytest.raises(UnsafeError, match="'s' is neither"):
        _layer(Tree(source=tree, target="/"))


# --- Anything


@given(data=st.data())
def test_any_layers_stay_inside_or_are_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("any")
    (place / "root").mkdir()
    (place / "outside").write_bytes(b"outside")
    names = [
        b"a",
        b"a/b",
        b"a/b/c",
        b"l",
        b"l/x",
        b"l/a/x",
        b".wh.a",
        b"a/.wh..wh..opq",
        b"l/.wh.x",
        b".wh.l",
        b"dev/a",
    ]
    one = st.builds(
        entry,
        st.sampled_from(names),
        st.sampled_from([b"", b"", b"x"]),
        kind=st.sampled_from([b"0", b"0", b"1", b"2", b"2", b"5", b"6"]),
        target=st.sampled_from(
            [b"a", b"l", b"../outside", b"../../..", b"..", b"/", b"/a/b", b"a/b", b"outside"]
        ),
    )
    for layer in data.draw(st.lists(st.lists(one, max_size=8), max_size=3)):
        with suppress(DjedError):
            apply(io.BytesIO(b"".join(layer) + END), place / "root")
    assert sorted(path.name for path in place.iterdir()) == ["outside", "root"]
    assert (place / "outside").read_bytes() == b"outside"
    assert (place / "outside").stat().st_nlink == 1
