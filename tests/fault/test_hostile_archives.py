"""Archives and images that mean harm: refused with archive and entry named, and nothing is ever written outside."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from djed.errors import DjedError, UnreadableError, UnsafeError
from djed.toolbox.archive import CAPS, Caps, extract
from djed.toolbox.fs import remove_tree
from djed.toolbox.layers import apply
from djed.toolbox.oci import ImageKind, import_image, unpack
from tests.support.layouts import CONFIG, LAYER, MANIFEST, Foreign
from tests.support.tars import END, entry, escaping, pax


class Place:
    """A folder to unpack into, among things that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.into = folder, folder / "into"
        self.into.mkdir()
        (folder / "outside").mkdir()
        (folder / "outside/secret").write_text("secret")
        (folder / "outside/secret").chmod(0o640)
        self._before = self._look()

    def check(self) -> None:
        """Nothing outside has changed, and nothing inside is the same file as something outside."""
        assert self._look() == self._before

    def _look(self) -> object:
        secret = self.folder / "outside/secret"
        status = secret.stat()
        listed = sorted(str(path.relative_to(self.folder)) for path in self.folder.iterdir())
        inside = sorted(path.name for path in (self.folder / "outside").iterdir())
        return (listed, inside, secret.read_text(), status.st_mode, status.st_nlink, status.st_mtime_ns)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.check()
    remove_tree(made.into)


def _refused(place: Place, data: bytes, kind: type[DjedError], words: str, caps: Caps = CAPS) -> None:
    with pytest.raises(kind, match=f"base.tar .*{words}|base.tar {words}"):
        extract(io.BytesIO(data), place.into, caps=caps, name="base.tar")


def _link(name: bytes, target: bytes) -> bytes:
    return entry(name, kind=b"2", target=target)


def _hard(name: bytes, target: bytes) -> bytes:
    return entry(name, kind=b"1", target=target)


# --- Ways out

_OUT: dict[str, tuple[bytes, str]] = {
    "dotdot": (entry(b"../outside/secret", b"x"), "'../outside/secret', which has a path with"),
    "dotdot inside": (entry(b"a/../../outside/secret", b"x"), "path with"),
    "dotdot at the end": (entry(b"a/..", kind=b"5"), "path with"),
    "absolute": (entry(b"/tmp/x", b"x"), "'/tmp/x', which has an absolute path"),
    "absolute in pax": (pax({"path": b"/tmp/x"}) + entry(b"harmless", b"x"), "absolute path"),
    "dotdot in pax": (pax({"path": b"../x"}) + entry(b"harmless", b"x"), "path with"),
    "dotdot in a long name": (
        entry(b"././@LongLink", b"../" * 50 + b"x\0", kind=b"L") + entry(b"harmless", b"x"),
        "path with",
    ),
    "dotdot in a sparse name": (
        pax({"GNU.sparse.major": b"1", "GNU.sparse.name": b"../x", "GNU.sparse.realsize": b"0"})
        + entry(b"harmless", b"0\n".ljust(512, b"\0")),
        "path with",
    ),
    "link out": (_link(b"l", b"../outside"), "'l', which is a link that leads out"),
    "absolute link": (_link(b"l", b"/etc"), "leads out"),
    "link out by pax": (pax({"linkpath": b"../outside"}) + _link(b"l", b"harmless"), "leads out"),
    "link out from below": (_link(b"a/b/l", b"../../../outside"), "leads out"),
    "climbing after a name": (_link(b"a/l", b"b/../../../outside"), "leads out"),
    "climbing by another link": (
        entry(b"a/b", kind=b"5") + _link(b"a/up", b"..") + _link(b"a/out", b"up/../outside"),
        "'a/out', which is a link that leads out",
    ),
    "through a link": (
        entry(b"d", kind=b"5") + _link(b"l", b"d") + entry(b"l/x", b"x"),
        "'l', which goes through a link",
    ),
    "over a link": (_link(b"l", b"d") + entry(b"l", b"x"), "'l', which comes twice"),
    "hard link out": (_hard(b"h", b"../outside/secret"), "path with"),
    "absolute hard link": (_hard(b"h", b"/etc/passwd"), "absolute path"),
    "hard link to a link": (_link(b"l", b"x") + _hard(b"h", b"l"), "no file in it"),
    "hard link through a link": (
        entry(b"d/f", b"x") + _link(b"l", b"d") + _hard(b"h", b"l/f"),
        "goes through a link",
    ),
    "hard link to a folder": (entry(b"d", kind=b"5") + _hard(b"h", b"d"), "no file in it"),
    "hard link to what comes later": (_hard(b"h", b"f") + entry(b"f", b"x"), "no file in it"),
    "resolved too long": (escaping()[:-1024], "goes through a link"),
}


@pytest.mark.parametrize("what", _OUT)
def test_no_way_leads_out(what: str, place: Place) -> None:
    data, words = _OUT[what]
    _refused(place, data + END, UnsafeError, words)


@pytest.mark.parametrize("what", _OUT)
def test_no_layer_leads_out(what: str, place: Place) -> None:
    """What is refused elsewhere may be honest in a layer, whose links mean places inside. It stays inside."""
    for _ in range(2):
        with suppress(UnsafeError):
            apply(io.BytesIO(_OUT[what][0] + END), place.into)
        place.check()


def test_a_layer_whose_links_resolve_too_long_stays_inside(place: Place) -> None:
    """By hand there is no longest path: the links lead where they say, and the root is where they end."""
    with pytest.raises(UnsafeError, match="'flag', which is a link to something that is no file in it"):
        apply(io.BytesIO(escaping()), place.into)


def test_layers_work_together_in_vain(place: Place) -> None:
    """A link out, kept as real images have them, and all that later layers can do with it."""
    target = str(place.folder / "outside").encode()
    apply(
        io.BytesIO(
            _link(b"l", target) + _link(b"up", b"../outside") + _link(b"s", target + b"/secret") + END
        ),
        place.into,
    )
    for layer in (
        entry(b"l/secret", b"hostile", mode=0o777),
        entry(b"up/secret", b"hostile"),
        entry(b"s", b"hostile"),
        entry(b"l/.wh.secret") + entry(b"up/.wh.secret"),
        entry(b"l/.wh..wh..opq"),
        entry(b"l", kind=b"5", mode=0o777),
        _hard(b"h", b"l/secret"),
        _hard(b"h2", b"s"),
        entry(b".wh.l") + entry(b".wh.up"),
    ):
        with suppress(UnsafeError):
            apply(io.BytesIO(layer + END), place.into)
        place.check()


# --- What it is, and how often

_ODD: dict[str, tuple[bytes, str]] = {
    "device": (entry(b"dev/sda", kind=b"4"), "'dev/sda', which is a device"),
    "terminal": (entry(b"tty", kind=b"3"), "is a device"),
    "pipe": (entry(b"p", kind=b"6"), "is a fifo"),
    "twice": (entry(b"f", b"1") + entry(b"./f", b"2"), "'./f', which comes twice"),
    "folder twice": (entry(b"d", kind=b"5") * 2, "comes twice"),
    "folder over a file": (entry(b"f", b"1") + entry(b"f", kind=b"5"), "comes twice"),
    "file on the way": (entry(b"f", b"1") + entry(b"f/x", b"2"), "no folder"),
    "file for the folder": (entry(b".", b"1"), "in place of the folder"),
    "long name": (
        entry(b"././@LongLink", b"n" * 256 + b"\0", kind=b"L") + entry(b"n"),
        "more than 255 bytes",
    ),
    "long path": (pax({"path": b"n/" * 2049}) + entry(b"n"), "longer than 4096"),
    "deep": (pax({"path": b"n/" * 257 + b"x"}) + entry(b"n"), "deeper than 256"),
    "long target": (pax({"linkpath": b"n" * 4096}) + _link(b"l", b"n"), "broken target"),
    "nul in a target": (pax({"linkpath": b"n\0m"}) + _link(b"l", b"n"), "broken target"),
    "the same for all": (pax({"path": b"x"}, kind=b"g") + entry(b"n"), "gives every entry the same path"),
    "huge metadata": (entry(b"x", kind=b"x", size=2**30), "1073741824 bytes"),
}


@pytest.mark.parametrize("what", _ODD)
def test_what_is_no_plain_file_is_refused(what: str, place: Place) -> None:
    data, words = _ODD[what]
    _refused(place, data + END, UnsafeError, words)


def test_a_message_shows_a_name_without_its_control_characters(place: Place) -> None:
    name = b"/\x1b[31m\n" + b"n" * 90
    with pytest.raises(UnsafeError) as refused:
        extract(io.BytesIO(entry(name) + END), place.into)
    assert refused.value.message.isprintable()


# --- Bombs


def _bomb(size: int) -> bytes:
    """A file of zeros in gzip, made without holding it."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [squeeze.compress(entry(b"zeros", size=size))]
    parts += [squeeze.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join([*parts, squeeze.compress(END), squeeze.flush()])


def test_bombs_are_refused_long_before_they_are_unpacked(place: Place) -> None:
    data = _bomb(200 * 2**20)
    _refused(place, data, UnsafeError, "more than 100 times", Caps(ratio=100))
    assert sum(path.stat().st_size for path in place.into.iterdir()) < 70 * 2**20


def test_a_file_larger_than_the_caps_is_refused_before_it_is_made(place: Place) -> None:
    _refused(place, entry(b"f", size=2**40 // 256), UnsafeError, "'f' is what is too much", Caps(size=2**30))
    assert not list(place.into.iterdir())


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_holes_count_as_what_they_claim_to_be(form: str, place: Place) -> None:
    if form == "gnu":
        slots = bytes(41) + bytes(96) + b"\0" + b"%011o\0" % (2**32)
        data = entry(b"holes", kind=b"S", magic=b"ustar  \0", more=slots)
    else:
        data = pax({"GNU.sparse.major": b"1", "GNU.sparse.realsize": b"%d" % 2**36}) + entry(
            b"holes", b"0\n".ljust(512, b"\0")
        )
    _refused(place, data + END, UnsafeError, "'holes'")
    assert not list(place.into.iterdir())


def test_metadata_without_end_is_no_way_to_fill_memory(place: Place) -> None:
    """Headers about entries that never come, compressed to nearly nothing."""
    data = gzip.compress(pax({"comment": b"x"}, kind=b"g") * 10_000)
    _refused(place, data, UnreadableError, "truncated")


# --- Whole images


def _image(folder: Path, *tars: bytes) -> Path:
    foreign = Foreign(folder)
    layers = [foreign.blob(gzip.compress(tar), LAYER + "+gzip") for tar in tars]
    config = foreign.json(foreign.config(tars=tars), CONFIG)
    return foreign.index(foreign.json({"config": config, "layers": layers}, MANIFEST))


_LAYERS: dict[str, tuple[bytes, ...]] = {
    "dotdot": (entry(b"../outside/secret", b"x") + END,),
    "absolute": (entry(b"/etc/passwd", b"x") + END,),
    "device": (entry(b"disk", kind=b"4") + END,),
    "escape": (escaping(),),
    "loop": (_link(b"a", b"b") + _link(b"b", b"a") + END, entry(b"a/x") + END),
    "hard link out": (_link(b"l", b"../../outside/secret") + END, _hard(b"l/x", b"../outside/secret") + END),
}


@pytest.mark.parametrize("what", _LAYERS)
def test_hostile_layers_are_refused_by_name(what: str, place: Place) -> None:
    place.into.rmdir()
    image = import_image(_image(place.into, *_LAYERS[what]), "oci", place.into / "clean", arch="x86_64")
    with pytest.raises(UnsafeError, match=r"layer sha256:[0-9a-f]{64} holds '"):
        unpack(place.into / "clean", image, place.into / "root")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize(
    "inside",
    [
        _link(b"blobs", b"/etc"),
        _link(b"index.json", b"../../../outside/secret"),
        entry(b"index.json", kind=b"6"),
        entry(b"../index.json", b"{}"),
        entry(b"index.json", b"{}") * 2,
    ],
    ids=["link for blobs", "link for index", "pipe", "dotdot", "twice"],
)
def test_hostile_archives_of_images(kind: ImageKind, inside: bytes, place: Place) -> None:
    (place.into / "image.tar").write_bytes(inside + END)
    with pytest.raises(UnsafeError, match=r"image\.tar holds '"):
        import_image(place.into / "image.tar", kind, place.into / "clean", arch="x86_64")
    assert list((place.into / "clean").iterdir()) == []


@pytest.mark.parametrize("folder", ["blobs", "blobs/sha256"])
def test_a_layout_with_links_to_elsewhere_is_refused(folder: str, place: Place) -> None:
    source = _image(place.into / "source", entry(b"x", b"x") + END)
    (source / folder).rename(place.into / "moved")
    (source / folder).symlink_to(place.into / "moved")
    with pytest.raises(UnsafeError, match="cannot be opened"):
        import_image(source, "oci", place.into / "clean", arch="x86_64")


def test_an_index_of_indexes_without_end_is_refused(place: Place) -> None:
    foreign = Foreign(place.into / "source")
    index = "application/vnd.oci.image.index.v1+json"
    inner = foreign.json({"manifests": []}, index)
    for depth in range(6):
        inner = foreign.json({"manifests": [inner] * 500, "depth": depth}, index)
    with pytest.raises(UnsafeError, match="in one another"):
        import_image(foreign.index(inner), "oci", place.into / "clean", arch="x86_64")


def test_a_configuration_of_the_wrong_shape_is_no_traceback(place: Place) -> None:
    shapes: list[Callable[[], object]] = [
        dict,
        list,
        str,
        int,
        lambda: None,
        lambda: [None],
        lambda: {"x": [{}]},
    ]
    keys = ("rootfs", "config", "history", "architecture", "os", "variant", "created")
    for number, (key, shape) in enumerate((key, shape) for key in keys for shape in shapes):
        foreign = Foreign(place.into / str(number))
        layers = [foreign.blob(END, LAYER)]
        config = foreign.json({**foreign.config(tars=(END,)), key: shape()}, CONFIG)
        source = foreign.index(foreign.json({"config": config, "layers": layers}, MANIFEST))
        with suppress(DjedError):
            import_image(source, "oci", place.into / f"{number}-clean", arch="x86_64")


def test_every_bit_of_a_layout_is_checked(place: Place) -> None:
    """Damage in any blob, wherever it is, is found; damage in the index never crashes."""
    source = _image(place.into / "source", entry(b"etc/x", b"x" * 50) + END)
    tried = 0
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path.name != "oci-layout"):
        data = path.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 40)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :])
            tried += 1
            into = place.into / str(tried)
            with suppress(DjedError):
                image = import_image(source, "oci", into, arch="x86_64")
                assert path.name == "index.json", f"{path.name} was damaged at {at}"
                unpack(into, image, place.into / f"{tried}-root")
        path.write_bytes(data)
    assert json.loads((source / "index.json").read_text())
    assert tried > 100
