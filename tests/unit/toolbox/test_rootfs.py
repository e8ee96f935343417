"""What the root of an image is, read from its files alone, and how it is made fit for a sandbox; roots are hostile."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from djed.errors import UnsafeError
from djed.toolbox.rootfs import check, interpreters, libc, os_release, package_manager, prepare

MOUNTED = ("djed", "proc", "dev", "sys", "run", "tmp", "var/tmp")
FILES = ("etc/passwd", "etc/group", "etc/hosts", "etc/hostname", "etc/resolv.conf")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What lies beside the root, and must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    return folder


def _write(path: Path, data: bytes | str = b"", *, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    return path


def _python(root: Path, path: str, version: str, *, holder: str | None = None, text: str = "\0{}\0") -> None:
    """An interpreter whose program, or the library ``holder``, knows its version."""
    major, minor = version.split(".")[:2]
    program = _write(root / path, b"\x7fELF", mode=0o755)
    place = program if holder is None else _write(root / holder)
    place.write_bytes(b"\x7fELF" + text.replace("{}", version).encode())
    _write(program.parent.parent / f"lib/python{major}.{minor}/json/__init__.py")


# --- What it is ----------------------------------------------------------------------------------------------------------------------


def test_os_release_is_read_behind_its_link_and_unquoted(root: Path) -> None:
    _write(
        root / "usr/lib/os-release", 'ID=debian\nNAME="Debian \\"GNU\\""\n# no\nVERSION_ID=\'12\'\nbroken\n'
    )
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    assert os_release(root) == {"ID": "debian", "NAME": 'Debian "GNU"', "VERSION_ID": "12"}


def test_a_link_to_the_machines_own_files_means_those_of_the_root(root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("/usr/lib/../../../../usr/lib/os-release")
    assert os_release(root) == {}
    _write(root / "usr/lib/os-release", "ID=inner\n")
    assert os_release(root) == {"ID": "inner"}


def test_an_empty_root_is_nothing_in_particular(root: Path) -> None:
    assert (os_release(root), libc(root), package_manager(root), interpreters(root)) == ({}, None, None, ())


def test_something_else_than_a_folder_is_refused(root: Path) -> None:
    file = _write(root / "file")
    for look in (os_release, libc, package_manager, interpreters, prepare, check):
        with pytest.raises(UnsafeError, match="folder"):
            look(file)


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("lib/x86_64-linux-gnu/libc.so.6", "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n", "glibc2.36"),
        ("usr/lib64/libc.so.6", "GNU C Library (GNU libc) stable release version 2.34.\nCopyright", "glibc2.34"),
        ("lib/ld-musl-x86_64.so.1", "\0musl libc (x86_64)\nVersion %s\n\0001.2.4_git20230717\0x", "musl1.2"),
        ("lib/ld-musl-aarch64.so.1", "stripped of everything", "musl"),
        ("lib/libc.so.6", "not a library", None),
    ],
)  # fmt: skip
def test_the_c_library_tells_its_version(root: Path, path: str, data: str, expected: str | None) -> None:
    _write(root / path, data)
    assert libc(root) == expected


def test_glibc_goes_before_a_musl_that_is_there_too(root: Path) -> None:
    _write(root / "lib/ld-musl-x86_64.so.1", "\0001.2.3\0")
    _write(root / "lib/x86_64-linux-gnu/libc.so.6", "GNU C Library x release version 2.31.")
    assert libc(root) == "glibc2.31"


def test_the_c_library_of_this_machine_is_found() -> None:
    try:
        expected = (os.confstr("CS_GNU_LIBC_VERSION") or "").replace(" ", "")
    except ValueError:
        expected = ""
    if not expected:
        pytest.skip("this machine has another C library")
    assert libc(Path("/")) == expected


@pytest.mark.parametrize(
    ("path", "manager"),
    [
        ("usr/bin/apt-get", "apt"),
        ("usr/bin/dnf", "dnf"),
        ("usr/bin/microdnf", "microdnf"),
        ("usr/bin/yum", "yum"),
        ("sbin/apk", "apk"),
    ],
)
def test_the_package_manager_is_told_by_its_program(root: Path, path: str, manager: str) -> None:
    program = _write(root / path)
    assert package_manager(root) is None, "it cannot be executed"
    program.chmod(0o755)
    assert package_manager(root) == manager


def test_a_package_manager_behind_a_link_out_is_none(root: Path, outside: Path) -> None:
    _write(outside / "apt-get", mode=0o755)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/apt-get").symlink_to(outside / "apt-get")
    assert package_manager(root) is None
    (root / "usr/bin/yum").symlink_to("../share/dnf-3")
    _write(root / "usr/share/dnf-3", mode=0o755)
    assert package_manager(root) == "yum"


# --- Interpreters --------------------------------------------------------------------------------------------------------------------


def test_pythons_are_found_newest_first_with_their_prefixes(root: Path) -> None:
    _python(root, "usr/bin/python3.9", "3.9.18")
    _python(root, "usr/local/bin/python3.12", "3.12.1", holder="usr/local/lib/libpython3.12.so.1.0")
    _python(root, "opt/conda/bin/python3.11", "3.11.4")
    _python(root, "opt/python/3.13/bin/python3.13", "3.13.0rc2")
    found = [(one.path, one.version, one.prefix, one.implementation) for one in interpreters(root)]
    assert found == [
        ("/opt/python/3.13/bin/python3.13", "3.13.0rc2", "/opt/python/3.13", "cpython"),
        ("/usr/local/bin/python3.12", "3.12.1", "/usr/local", "cpython"),
        ("/opt/conda/bin/python3.11", "3.11.4", "/opt/conda", "cpython"),
        ("/usr/bin/python3.9", "3.9.18", "/usr", "cpython"),
    ]


def test_a_final_release_is_newer_than_its_candidate(root: Path) -> None:
    _python(root, "opt/a/bin/python3.13", "3.13.0rc3")
    _python(root, "opt/b/bin/python3.13", "3.13.0")
    assert [one.version for one in interpreters(root)] == ["3.13.0", "3.13.0rc3"]


def test_names_for_one_program_are_one_interpreter(root: Path) -> None:
    _python(root, "usr/bin/python3.11", "3.11.2")
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to("python3.11")
    (root / "bin").symlink_to("usr/bin")
    assert [one.path for one in interpreters(root)] == ["/usr/bin/python3.11"]


def test_a_program_without_a_number_is_known_by_its_library(root: Path) -> None:
    _python(root, "usr/local/bin/python3", "3.10.4")
    assert [(one.path, one.version) for one in interpreters(root)] == [("/usr/local/bin/python3", "3.10.4")]


def test_the_platforms_own_python_belongs_to_usr(root: Path) -> None:
    _python(root, "usr/libexec/platform-python3.9", "3.9.7", holder="usr/lib64/libpython3.9.so.1.0")
    assert [one.prefix for one in interpreters(root)] == ["/usr"]


def test_a_version_at_the_end_of_a_longer_text_counts_where_it_is_the_only_one(root: Path) -> None:
    _python(root, "opt/x/bin/python3.11", "3.11.7", text="\0/opt/versions/{}\0x\0-{}\0 3.11.9")
    assert [one.version for one in interpreters(root)] == ["3.11.7"]
    _python(root, "opt/x/bin/python3.11", "3.11.7", text="\0/opt/versions/{}\0x\0/opt/3.11.8\0")
    assert interpreters(root) == (), "two that contradict each other"


@pytest.mark.parametrize(
    "name", ["python3.13t", "python3.11-config", "python2.7", "pypy3.10", "python3.6", "xpython3"]
)
def test_other_programs_are_left_out(root: Path, name: str) -> None:
    _python(root, f"usr/bin/{name}", "3.6.15" if name == "python3.6" else "3.11.2")
    assert interpreters(root) == ()


def test_a_minimal_python_is_left_out(root: Path) -> None:
    _python(root, "usr/bin/python3.11", "3.11.2")
    (root / "usr/lib/python3.11/json/__init__.py").unlink()
    assert interpreters(root) == (), "uv could not even ask it who it is"


def test_a_free_threaded_build_under_the_common_name_is_left_out(root: Path) -> None:
    _python(root, "usr/local/bin/python3.13t", "3.13.1")
    (root / "usr/local/bin/python3.13").symlink_to("python3.13t")
    assert interpreters(root) == ()


def test_environments_are_left_out(root: Path) -> None:
    _python(root, "opt/app/bin/python3.11", "3.11.2")
    _write(root / "opt/app/pyvenv.cfg")
    assert interpreters(root) == ()


def test_links_out_and_round_lead_nowhere(root: Path, outside: Path) -> None:
    _python(outside, "bin/python3.11", "3.11.2")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/python3.11").symlink_to(outside / "bin/python3.11")
    (root / "usr/bin/python3.12").symlink_to("python3.12")
    (root / "usr/local").symlink_to("../../outside")
    (root / "opt").symlink_to("/")
    os.mkfifo(root / "usr/bin/python3.10")
    assert interpreters(root) == ()


def test_this_python_is_read_rightly() -> None:
    """The linker of some builds merges the version into the end of a path."""
    real = Path(sys.executable).resolve()
    root = real.parents[2]
    if real.parents[1] == Path("/usr"):
        root = Path("/")
    folder = real.parent.relative_to(root)
    expected = ".".join(map(str, sys.version_info[:3]))
    from djed.toolbox import rootfs
    from djed.toolbox.rootview import RootView

    with RootView(root) as view:
        found = rootfs._interpreter(view, f"/{folder}/{real.name}")
    assert found is not None
    assert found[1].version == expected


# --- Making it fit -------------------------------------------------------------------------------------------------------------------


def test_the_places_are_made_once_and_pass_the_check(root: Path) -> None:
    with pytest.raises(UnsafeError, match="/etc"):
        check(root)
    prepare(root)
    check(root)
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert all((root / path).is_dir() for path in MOUNTED)
    assert all((root / path).read_bytes() == b"" for path in FILES)
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    prepare(root)
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_what_is_there_stays(root: Path) -> None:
    _write(root / "etc/passwd", "app:x:1000:1000::/:/bin/sh\n")
    _write(root / "tmp/file", "x")
    _write(root / "etc/hosts", "127.0.0.1 me\n")
    (root / "tmp").chmod(0o700)
    prepare(root)
    assert (root / "etc/passwd").read_text().startswith("app:")
    assert (root / "etc/hosts").read_text() == "127.0.0.1 me\n"
    assert (root / "tmp/file").read_text() == "x"
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o700


@pytest.mark.parametrize("path", MOUNTED)
@pytest.mark.parametrize(
    "target", ["{outside}", "../../../../../../..{outside}", "/", "/proc/self/root", "nowhere"]
)
def test_a_link_in_place_of_a_folder_is_replaced(root: Path, outside: Path, path: str, target: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target.format(outside=outside))
    prepare(root)
    check(root)
    assert not (root / path).is_symlink()
    assert [file.name for file in outside.iterdir()] == ["kept"]


@pytest.mark.parametrize("path", FILES)
def test_a_link_in_place_of_a_file_is_replaced_and_never_written_through(
    root: Path, outside: Path, path: str
) -> None:
    (root / "etc").mkdir()
    (root / path).symlink_to(outside / "kept")
    prepare(root)
    check(root)
    assert (outside / "kept").read_text() == "kept"
    assert (root / path).read_bytes() == b"", "what lies outside is not copied in either"


def test_users_behind_a_link_are_kept(root: Path) -> None:
    _write(root / "usr/share/passwd", "app:x:1000:1000::/:/bin/sh\n")
    (root / "etc").mkdir()
    (root / "etc/passwd").symlink_to("/usr/share/passwd")
    prepare(root)
    assert not (root / "etc/passwd").is_symlink()
    assert (root / "etc/passwd").read_text().startswith("app:")


@pytest.mark.parametrize("folder", ["etc", "var"])
@pytest.mark.parametrize("target", ["{outside}", "usr", None])
def test_a_folder_on_the_way_must_be_one(root: Path, outside: Path, folder: str, target: str | None) -> None:
    (root / "usr").mkdir()
    if target is None:
        _write(root / folder)
    else:
        (root / folder).symlink_to(target.format(outside=outside))
    with pytest.raises(UnsafeError, match=f"/{folder}"):
        prepare(root)
    with pytest.raises(UnsafeError):
        check(root)
    assert [file.name for file in outside.iterdir()] == ["kept"]


def test_a_folder_in_place_of_a_file_is_refused(root: Path) -> None:
    (root / "etc/hosts").mkdir(parents=True)
    with pytest.raises(UnsafeError, match="/etc/hosts"):
        prepare(root)


@pytest.mark.parametrize("path", [*MOUNTED, *FILES, "etc", "var"])
def test_a_link_that_comes_afterwards_fails_the_check(root: Path, outside: Path, path: str) -> None:
    prepare(root)
    (root / path).rename(root / "moved")
    (root / path).symlink_to(outside)
    with pytest.raises(UnsafeError):
        check(root)


def test_a_root_that_its_owner_cannot_write_is_prepared_and_left_as_it_was(root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc").chmod(0o555)
    root.chmod(0o555)
    prepare(root)
    check(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o555
    assert stat.S_IMODE((root / "etc").stat().st_mode) == 0o555
