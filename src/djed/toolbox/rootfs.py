"""Root file systems of images: what is in one, read without running anything of it, and how it is made fit for a sandbox.

Whatever lies in such a root is hostile. What is looked at goes through :class:`djed.toolbox.rootview.RootView`, which does not leave it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from djed.errors import UnsafeError
from djed.model.hardware import Interpreter
from djed.model.image import PackageManager
from djed.toolbox.rootview import RootView

__all__ = ["check", "interpreters", "libc", "os_release", "package_manager", "prepare", "version_within"]

_TEXT = 2**16
_PASSWD = 2**20
_BINARY = 2**28
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OLDEST = 7
"""The oldest 3.N that uv can still make an environment for."""

# Where a sandbox or an engine puts something over what is there.
_MOUNTED = ("djed", "proc", "dev", "sys", "run", "tmp", "var/tmp")
_ANYBODY = ("tmp", "var/tmp")
_BOUND = ("etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf")
_KEPT = ("etc/passwd", "etc/group")
"""Of these the content counts, where it lies behind a link."""
_HINT = "Build it anew."

_PYTHON_FOLDERS = (
    "usr/bin",
    "usr/local/bin",
    "bin",
    "usr/libexec",
    "opt/*/bin",
    "opt/*/*/bin",
    "opt/rh/*/*/usr/bin",
    "root/.pyenv/versions/*/bin",
    "root/.local/share/uv/python/*/bin",
)
_PYTHON = re.compile(r"(?:platform-)?python(?:3(?:\.(\d+))?)?")
_LIBRARY = re.compile(r"python3\.(\d{1,3})")
_LIBRARY_FOLDERS = ("lib64", "usr/lib64", "lib/*-linux-*", "usr/lib/*-linux-*", "lib", "usr/lib")
_MANAGERS: tuple[tuple[PackageManager, tuple[str, ...]], ...] = (
    ("apt", ("usr/bin/apt-get",)),
    ("dnf", ("usr/bin/dnf",)),
    ("microdnf", ("usr/bin/microdnf",)),
    ("yum", ("usr/bin/yum",)),
    ("apk", ("sbin/apk", "usr/bin/apk", "usr/sbin/apk")),
)
_LEVELS = {"a": 0, "b": 1, "rc": 2, "": 3}


def os_release(root: Path) -> dict[str, str]:
    """``os-release`` of a root by its keys; empty where there is none."""
    with RootView(root) as view:
        data = _read(view, "etc/os-release", _TEXT) or _read(view, "usr/lib/os-release", _TEXT) or b""
    pairs = re.findall(r"^([A-Za-z][A-Za-z0-9_]*)=(.*)$", data.decode(errors="replace"), re.MULTILINE)
    return {key: _unquoted(value.strip()) for key, value in pairs}


def libc(root: Path) -> str | None:
    """The C library of a root: ``glibc2.36``, ``musl1.2``; without its version where it does not tell it; ``None`` where there is none."""
    with RootView(root) as view:
        folders = _folders(view, _LIBRARY_FOLDERS)
        for folder in folders:
            data = _read(view, f"{folder}/libc.so.6")
            if data and (
                match := re.search(rb"GNU C Library [^\n\0]{0,200}release version (\d+\.\d+)", data)
            ):
                return f"glibc{match.group(1).decode()}"
        for folder in folders:
            for name in view.names(folder):
                if re.fullmatch(r"ld-musl-[\w-]+\.so\.1", name):
                    match = re.search(rb"\0(\d+\.\d+)\.\d+[\w.-]*\0", _read(view, f"{folder}/{name}") or b"")
                    return f"musl{match.group(1).decode()}" if match else "musl"
    return None


def package_manager(root: Path) -> PackageManager | None:
    """What installs native packages in a root, told by its program; ``None`` where nothing does."""
    with RootView(root) as view:
        for name, paths in _MANAGERS:
            if any(_program(view, path) for path in paths):
                return name
    return None


def interpreters(root: Path) -> tuple[Interpreter, ...]:
    """Every CPython of a root, 3.7 or newer, newest first: real executables, none twice, no environments, no free-threaded builds.

    Nor those whose library is not whole: uv cannot make an environment for the minimal Python of some distributions.
    """
    found: dict[str, tuple[tuple[int, ...], Interpreter] | None] = {}
    with RootView(root) as view:
        for folder in _folders(view, _PYTHON_FOLDERS):
            for name in view.names(folder):
                path = _program(view, f"{folder}/{name}") if _PYTHON.fullmatch(name) else None
                if path is not None and path not in found:
                    found[path] = _interpreter(view, path)
    known = sorted(filter(None, found.values()), key=lambda item: item[0], reverse=True)
    return tuple(interpreter for _, interpreter in known)


def prepare(root: Path) -> None:
    """Make the places that a sandbox or an engine puts something over, so that a read-only root has them.

    Folders, made empty where there is a link or a file: ``/djed /proc /dev /sys /run /tmp /var/tmp``. Regular files, made where there
    is a link or nothing: ``/etc/passwd /etc/group`` with what the link led to, ``/etc/hosts /etc/hostname /etc/resolv.conf`` empty.
    Nothing else of the image changes. Raises ``UnsafeError`` where ``/etc`` or ``/var`` is no folder, or one of the files is one.
    """
    with RootView(root) as view:
        contents = {path: _read(view, path, _PASSWD) or b"" for path in _KEPT}
    for path in _MOUNTED:
        _make_folder(root, path)
    for path in _BOUND:
        _make_file(root, path, contents.get(path, b""))


def check(root: Path) -> None:
    """See that what :func:`prepare` makes is there: a link in its place would lead a sandbox that is being set up out of the root.

    Raises ``UnsafeError``.
    """
    base = _open(root, os.O_PATH)
    try:
        # In this order: what a path leads through was looked at before.
        for path in ("etc", "var", *_MOUNTED, *_BOUND):
            try:
                mode = os.stat(path, dir_fd=base, follow_symlinks=False).st_mode
            except OSError as error:
                raise UnsafeError(
                    f"The image's root has no /{path}: {error.strerror}.", hint=_HINT
                ) from error
            if not (stat.S_ISREG if path in _BOUND else stat.S_ISDIR)(mode):
                raise UnsafeError(f"In the image's root, /{path} is not what it was made as.", hint=_HINT)
    finally:
        os.close(base)


# --- Looking -------------------------------------------------------------------------------------------------------------------------


def _unquoted(value: str) -> str:
    """As a shell would take it, os-release(5)."""
    quoted = re.fullmatch(r"([\"'])(.*)\1", value)
    return re.sub(r"\\([\"'\\$`])", r"\1", quoted.group(2) if quoted else value)


def _read(view: RootView, path: str, most: int = _BINARY) -> bytes | None:
    """A regular file; ``None`` where there is none, or a bigger one than makes sense."""
    try:
        return view.read(path, most)
    except OSError:
        return None


def _exists(view: RootView, path: str) -> bool:
    try:
        with view.open(path):
            return True
    except OSError:
        return False


def _program(view: RootView, path: str) -> str | None:
    """The real path, in the root, of the program that ``path`` leads to; ``None`` where it leads to none."""
    try:
        with view.folder("/") as top, view.open(path) as file:
            if not os.fstat(file).st_mode & 0o111:
                return None
            base, real = (Path(f"/proc/self/fd/{descriptor}").readlink() for descriptor in (top, file))
            return "/" + os.path.relpath(real, base)
    except OSError:
        return None


def _folders(view: RootView, patterns: Sequence[str]) -> list[str]:
    """Folders that the patterns name; a star stands for any name."""
    return [folder for pattern in patterns for folder in _expand(view, "", pattern.split("/"))]


def _expand(view: RootView, prefix: str, parts: Sequence[str]) -> Iterator[str]:
    if not parts:
        yield prefix
        return
    part, *rest = parts
    if "*" not in part:
        yield from _expand(view, f"{prefix}/{part}", rest)
        return
    pattern = re.compile(re.escape(part).replace(r"\*", ".*"))
    for name in view.names(prefix):
        if pattern.fullmatch(name):
            yield from _expand(view, f"{prefix}/{name}", rest)


def _interpreter(view: RootView, path: str) -> tuple[tuple[int, ...], Interpreter] | None:
    """What a program is whose name is Python's, with a key to order it by; ``None`` where it is something else."""
    place, _, name = path.rpartition("/")
    named = _PYTHON.fullmatch(name)
    prefix = place.rpartition("/")[0] or "/usr"  # /bin belongs to /usr
    if not named or any(_exists(view, f"{folder}/pyvenv.cfg") for folder in (place, prefix)):
        return None
    own = [f"{prefix}/lib", f"{prefix}/lib64"]
    there = [
        match.group(1)
        for folder in own
        for text in view.names(folder)
        if (match := _LIBRARY.fullmatch(text)) and _exists(view, f"{folder}/{text}/json/__init__.py")
    ]
    for minor in dict.fromkeys(there):
        if int(minor) < _OLDEST or named.group(1) not in {None, minor}:
            continue
        shared = [f"libpython3.{minor}{flag}.so.1.0" for flag in ("", "m")]
        libraries = [
            f"{folder}/{one}" for folder in (*own, *_folders(view, _LIBRARY_FOLDERS)) for one in shared
        ]
        for file in (path, *libraries):
            if version := version_within(_read(view, file) or b"", minor):
                text, key = version
                return key, Interpreter(path=path, version=text, prefix=prefix)
    return None


def version_within(data: bytes, minor: str) -> tuple[str, tuple[int, ...]] | None:
    """``PY_VERSION`` of a Python 3.``minor`` in a program or a library, and a key to order it by; ``None`` where it is not to be told.

    It ends at a zero byte and begins after one; or else it is, for linkers save space, the end of a longer string, like the path of an
    installation. That is believed where there is but one.
    """
    pattern = re.compile(rb"3\.%b\.(\d{1,3})(?:(a|b|rc)(\d{1,2}))?(?=\+?\0)" % minor.encode())
    alone: dict[bytes, re.Match[bytes]] = {}
    ending: dict[bytes, re.Match[bytes]] = {}
    for match in pattern.finditer(data):
        before = data[match.start() - 1 : match.start()]
        if before == b"\0":
            alone.setdefault(match.group(), match)
        elif not before.isdigit() and before != b".":
            ending.setdefault(match.group(), match)
    candidates = list((alone or ending).values())
    if len(candidates) != 1:
        return None
    micro, level, serial = (group.decode() for group in candidates[0].groups(b""))
    key = (3, int(minor), int(micro), _LEVELS[level], int(serial or 0))
    return candidates[0].group().decode(), key


# --- Making --------------------------------------------------------------------------------------------------------------------------


@contextmanager
def _parent(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """The folder that ``path`` lies in, reached without following a link and made where it is missing; and the name in it."""
    *folders, name = path.split("/")
    current = _open(root, os.O_RDONLY)
    try:
        for folder in folders:
            with suppress(FileExistsError), _writable(current):
                os.mkdir(folder, 0o755, dir_fd=current)
            try:
                inner = os.open(folder, _FOLDER, dir_fd=current)
            except OSError as error:
                raise UnsafeError(f"In the image, /{folder} is no folder: {error.strerror}.") from error
            os.close(current)
            current = inner
        yield current, name
    finally:
        os.close(current)


@contextmanager
def _writable(folder: int) -> Iterator[None]:
    """Of its owner: the root of some distributions is not even that."""
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & 0o200:
        yield
        return
    os.fchmod(folder, mode | 0o200)
    try:
        yield
    finally:
        os.fchmod(folder, mode)


def _make_folder(root: Path, path: str) -> None:
    with _parent(root, path) as (parent, name):
        mode = _mode(parent, name)
        if stat.S_ISDIR(mode):
            return
        with _writable(parent):
            if mode:
                os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)
            if path in _ANYBODY:
                os.chmod(name, 0o1777, dir_fd=parent)  # noqa: S103  # for anybody, as everywhere


def _make_file(root: Path, path: str, content: bytes) -> None:
    with _parent(root, path) as (parent, name):
        mode = _mode(parent, name)
        if stat.S_ISREG(mode):
            return
        if stat.S_ISDIR(mode):
            raise UnsafeError(f"In the image, /{path} is a folder.")
        with _writable(parent):
            if mode:
                os.unlink(name, dir_fd=parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o644, dir_fd=parent), "wb") as file:
                file.write(content)


def _mode(parent: int, name: str) -> int:
    """Its mode, 0 where there is nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _open(root: Path, flags: int) -> int:
    try:
        return os.open(root, flags | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnsafeError(f"The image has no root: {root.name!r} is no folder ({error.strerror}).") from error
