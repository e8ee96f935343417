"""Archives: what honest programs write is unpacked as it is; what is left of owners, modes and formats."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.errors import ConflictError, DjedError, UnreadableError, UnsafeError
from djed.toolbox.archive import CAPS, Caps, extract, extract_zip
from djed.toolbox.layers import Tree, write_layer
from tests.support.tars import END, entry, pax, state

_LONG = "n" * 200 + "/" + "m" * 120
_FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def _tar(format_: int, *names: str) -> bytes:
    """Files called so, as Python's own module writes them."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format_) as made:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(name.encode()), 1_000_000_000, 0o640
            made.addfile(info, io.BytesIO(name.encode()))
    return file.getvalue()


def _unpacked(data: bytes, into: Path, caps: Caps = CAPS) -> dict[str, object]:
    into.mkdir()
    extract(io.BytesIO(data), into, caps=caps)
    return state(into)


# --- What is taken


@pytest.mark.parametrize("name", _FORMATS)
def test_every_format_gives_the_same_files(name: str, tmp_path: Path) -> None:
    names = ["plain", "a/b/c", "with space", "new\nline", "snowman-☃", "-dash", "a" * 100, "b/" * 20 + "end"]
    if name != "ustar":
        names += [_LONG, "s" * 250]
    found = _unpacked(_tar(_FORMATS[name], *names), tmp_path / "into")
    files = {path: data for path, data in found.items() if data != "folder"}
    assert files == {path: path.encode() for path in names}
    assert (tmp_path / "into/plain").stat().st_mtime == 1_000_000_000


def test_names_that_are_no_text_stay_what_they_are(tmp_path: Path) -> None:
    name = b"caf\xe9-\xff\xfe"
    found = _unpacked(entry(name, b"x") + END, tmp_path / "into")
    assert found == {os.fsdecode(name): b"x"}


def test_a_ustar_prefix_stands_before_the_name(tmp_path: Path) -> None:
    assert _unpacked(entry(b"c", b"x", more=b"a/b") + END, tmp_path / "into")["a/b/c"] == b"x"


def test_links_stay_as_they_are(tmp_path: Path) -> None:
    data = (
        entry(b"a/b/file", b"x")
        + entry(b"a/b/up", kind=b"2", target=b"../b/file")
        + entry(b"dangling", kind=b"2", target=b"no/where")
    )
    found = _unpacked(data + entry(b"other", kind=b"1", target=b"./a/b/file") + END, tmp_path / "into")
    assert found["a/b/up"] == ("link", "../b/file")
    assert found["dangling"] == ("link", "no/where")
    assert (tmp_path / "into/other").samefile(tmp_path / "into/a/b/file")


@pytest.mark.parametrize(
    ("kind", "mode", "left"),
    [
        (b"0", 0o6755, 0o755),
        (b"0", 0o000, 0o600),
        (b"0", 0o444, 0o644),
        (b"5", 0o7777, 0o1777),
        (b"5", 0o000, 0o700),
    ],
)
def test_modes_lose_what_gives_rights_away(kind: bytes, mode: int, left: int, tmp_path: Path) -> None:
    _unpacked(entry(b"x", kind=kind, mode=mode) + END, tmp_path / "into")
    assert stat.S_IMODE((tmp_path / "into/x").stat().st_mode) == left


def test_a_folder_may_be_said_after_what_is_in_it(tmp_path: Path) -> None:
    _unpacked(entry(b"d/f", b"x") + entry(b"./d/", kind=b"5", mode=0o711) + END, tmp_path / "into")
    assert stat.S_IMODE((tmp_path / "into/d").stat().st_mode) == 0o711


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(entry(b"f", b"x" * 3000) + END, mtime=0),
        gzip.compress(entry(b"f", b"x" * 3000), mtime=0) + gzip.compress(END, mtime=0),
        gzip.compress(entry(b"f", b"x" * 3000) + END) + bytes(700),
        entry(b"f", b"x" * 3000) + bytes(10240),
    ],
    ids=["gzip", "two members", "zeros after gzip", "a record of zeros"],
)
def test_compression_and_padding(data: bytes, tmp_path: Path) -> None:
    assert _unpacked(data, tmp_path / "into") == {"f": b"x" * 3000}


def test_sparse_files_get_their_holes(tmp_path: Path) -> None:
    """GNU's own form, and the newest of those in pax headers (tar's manual, "Storing Sparse Files")."""
    slots = b"".join(b"%011o\0" % number for number in (0, 3, 100_000, 2)).ljust(96, b"\0")
    gnu = entry(
        b"gnu", b"abcde", kind=b"S", magic=b"ustar  \0", more=bytes(41) + slots + b"\0" + b"%011o\0" % 200_000
    )
    body = b"2\n0\n3\n100000\n2\n".ljust(512, b"\0") + b"abcde"
    said = {
        "GNU.sparse.major": b"1",
        "GNU.sparse.minor": b"0",
        "GNU.sparse.name": b"pax",
        "GNU.sparse.realsize": b"200000",
    }
    expected = (b"abc".ljust(100_000, b"\0") + b"de").ljust(200_000, b"\0")
    found = _unpacked(gnu + pax(said) + entry(b"GNUSparseFile.1/pax", body) + END, tmp_path / "into")
    assert found == {"gnu": expected, "pax": expected}


def test_pax_says_more_than_the_header(tmp_path: Path) -> None:
    records = {"path": b"real/name", "size": b"5", "mtime": b"12.75", "comment": b"a = b\n"}
    data = pax({"comment": b"of all"}, kind=b"g") + pax(records) + entry(b"short", b"12345", size=0) + END
    assert _unpacked(data, tmp_path / "into")["real/name"] == b"12345"
    assert (tmp_path / "into/real/name").stat().st_mtime == 12


# --- What is refused

_BROKEN = {
    "empty": b"",
    "no tar": b"no tar at all".ljust(1024, b"."),
    "cut in a header": entry(b"f", b"x")[:100],
    "cut in a file": entry(b"f", b"x" * 600)[:-512],
    "no end": entry(b"f", b"x"),
    "after the end": entry(b"f", b"x") + END + entry(b"g", b"x"),
    "one block of end": entry(b"f", b"x") + bytes(512) + b"x" * 512,
    "checksum": entry(b"f", b"x").replace(b"ustar", b"USTAR") + END,
    "unknown type": entry(b"f", kind=b"Z") + END,
    "no name": entry(b"") + END,
    "folder with content": entry(b"d", b"x", kind=b"5") + END,
    "cut gzip": gzip.compress(entry(b"f", os.urandom(5000)) + END)[:-3000],
    "broken gzip": gzip.compress(entry(b"f", b"x") + END)[:-8] + bytes(8),
    "text after gzip": gzip.compress(entry(b"f", b"x") + END) + b"text",
    "only metadata": pax({"path": b"x"}) + END,
    "metadata twice": pax({"path": b"x"}) * 2 + entry(b"f") + END,
    "pax without length": entry(b"pax", b"path=x\n", kind=b"x") + entry(b"f") + END,
    "pax too short": entry(b"pax", b"99 path=x\n", kind=b"x") + entry(b"f") + END,
    "pax size": pax({"size": b"-1"}) + entry(b"f") + END,
    "nul in a name": pax({"path": b"a\0b"}) + entry(b"f") + END,
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(100),
    "bzip2": bz2.compress(entry(b"f", b"x") + END),
    "xz": lzma.compress(entry(b"f", b"x") + END),
    "sparse map": pax({"GNU.sparse.major": b"1", "GNU.sparse.realsize": b"9"})
    + entry(b"f", b"1\n5\n".ljust(512, b"\0"))
    + END,
    "sparse overlap": pax({"GNU.sparse.map": b"0,2,1,2", "GNU.sparse.size": b"9"})
    + entry(b"f", b"1234")
    + END,
    "sparse beyond": pax({"GNU.sparse.map": b"0,4", "GNU.sparse.size": b"2"}) + entry(b"f", b"1234") + END,
}


@pytest.mark.parametrize("what", _BROKEN)
def test_what_cannot_be_read_is_said(what: str, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(UnreadableError, match="the archive"):
        extract(io.BytesIO(_BROKEN[what]), tmp_path / "into", name="the archive")


def test_cut_anywhere_is_an_error_and_never_a_traceback(tmp_path: Path) -> None:
    whole = pax({"path": b"a/b"}) + entry(b"x", b"y" * 700) + entry(b"l", kind=b"2", target=b"a") + END[:512]
    for cut in range(0, len(whole), 64):
        into = tmp_path / str(cut)
        into.mkdir()
        with pytest.raises(UnreadableError):
            extract(io.BytesIO(whole[:cut]), into)


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        (Caps(entries=1), "more than 1 entries"),
        (Caps(size=100), "more than 100 bytes"),
        (Caps(path=2), "longer than 2"),
        (Caps(depth=1), "deeper than 1"),
        (Caps(name=2), "more than 2 bytes"),
    ],
)
def test_caps(caps: Caps, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match=words):
        _unpacked(entry(b"a/b") + entry(b"cde", b"x" * 200) + END, tmp_path / "into", caps)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(ConflictError):
        extract(io.BytesIO(END), tmp_path)


# --- Zip


def _zip(
    *members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, method
            made.writestr(info, data)
    return file.getvalue()


def test_a_wheel_is_unpacked(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    done = extract_zip(io.BytesIO(_zip(("a/b.py", b"x = 1\n"), ("empty/", b""), ("☃", b""))), into)
    assert state(into) == {"a": "folder", "a/b.py": b"x = 1\n", "empty": "folder", "☃": b""}
    assert done.entries == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_zip(("../f", b"x")), "'\\.\\./f'"),
        (_zip(("/f", b"x")), "absolute"),
        (_zip(("f", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "neither a file nor a folder"),
        (_zip(("f", b"x"), method=zipfile.ZIP_BZIP2), "compressed in a way"),
        (_zip(("a", b"x"), ("b", b"y")).replace(b"b", b"a"), "comes twice"),
        (_zip(("f", bytes(100 * 2**20))), "made of"),
        (_zip(("a0b", b"x")).replace(b"a0b", b"a\0b"), "broken"),
    ],
    ids=["dotdot", "absolute", "link", "bzip2", "twice", "bomb", "nul"],
)
def test_hostile_zips_are_refused(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(UnsafeError, match=words):
        extract_zip(io.BytesIO(data), tmp_path / "into", caps=Caps(ratio=100), name="w.whl")
    assert list(tmp_path.iterdir()) == [tmp_path / "into"]


@pytest.mark.parametrize("cut", [0, 5, 30, 60, -1])
def test_broken_zips_are_unreadable(cut: int, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(UnreadableError, match=r"w\.whl"):
        extract_zip(io.BytesIO(_zip(("f", b"x" * 100))[:cut]), tmp_path / "into", name="w.whl")


# --- Anything


@given(data=st.data())
def test_any_bytes_stay_inside_or_are_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A valid archive with bytes changed, cut and put in, sometimes with the checksums made right again."""
    place = tmp_path_factory.mktemp("any")
    (place / "into").mkdir()
    names = [b"a", b"a/b", b"../c", b"/d", b"l", b"l/x", b"."]
    parts = data.draw(
        st.lists(
            st.builds(
                entry,
                st.sampled_from(names),
                st.binary(max_size=20),
                kind=st.sampled_from([b"0", b"1", b"2", b"5", b"x", b"L", b"K", b"S", b"3"]),
                target=st.sampled_from([*names, b"..", b"../..", b"/etc"]),
                size=st.sampled_from([None, None, None, 0, 700]),
            ),
            max_size=6,
        )
    )
    raw = bytearray(b"".join(parts) + END)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DjedError):
        extract(io.BytesIO(bytes(raw)), place / "into")
    assert list(place.iterdir()) == [place / "into"]
    for path, what in state(place / "into").items():
        if isinstance(what, tuple):
            assert not what[1].startswith("/")
            assert not os.path.normpath(str(Path(path).parent / what[1])).startswith("..")


_NAMES = st.text(min_size=1, max_size=60).filter(
    lambda name: len(name.encode("utf-8", "surrogateescape")) < 250 and "/" not in name and "\0" not in name
)


@given(
    tree=st.dictionaries(
        st.lists(
            _NAMES.filter(lambda name: name not in {".", ".."} and not name.startswith(".wh.")),
            min_size=1,
            max_size=4,
        ).map(tuple),
        st.binary(max_size=2000),
        max_size=6,
    )
)
def test_any_tree_comes_back(
    tree: dict[tuple[str, ...], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("tree")
    (place / "from").mkdir()
    for parts, data in tree.items():
        path = place / "from" / Path(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError:
            continue  # another one is a file on the way, or a folder in its place
    file = io.BytesIO()
    write_layer([Tree(source=place / "from", target="/")], file)
    assert _unpacked(file.getvalue(), place / "into") == state(place / "from")
