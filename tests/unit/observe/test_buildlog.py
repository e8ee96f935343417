"""What a build log says was installed; the logs in recorded_logs/ are what the tools wrote, with other hosts and folders."""

from __future__ import annotations

import io
import itertools
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.errors import TooLargeError
from djed.model.contents import Contents
from djed.observe.buildlog import found as buildlog_found
from djed.observe.buildlog import lines as buildlog_lines
from djed.observe.buildlog import read_log

FOLDER = Path(__file__).parent / "recorded_logs"
RECORDED = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.txt"))}


def read(log: bytes | str) -> Contents:
    return read_log(io.BytesIO(log.encode() if isinstance(log, str) else log), target="build.log")


def native(log: bytes | str) -> list[tuple[str, str, str | None]]:
    return [(item.name, item.version, item.arch) for item in read(log).native]


def python(log: bytes | str) -> dict[str, str]:
    return {item.name: item.version for item in read(log).python}


# --- As the tools wrote them ---------------------------------------------------------------------------------------------------------


def test_apt_installs_what_it_set_up() -> None:
    found = native(RECORDED["apt"])
    assert len(found) == RECORDED["apt"].count(b"\nSetting up ") == 86
    assert ("libdw1", "0.188-2.1", "amd64") in found
    assert ("dnf", "4.14.0-3+deb12u1", "all") in found  # of which only the file tells the architecture
    assert {item.kind for item in read(RECORDED["apt"]).native} == {"deb"}


def test_apt_removes_and_reinstalls() -> None:
    log = RECORDED["apt_change"]
    assert b"Removing less" in log
    assert native(b"Setting up less (590-2) ...\n" + log) == [
        ("libgomp1", "12.2.0-14+deb12u1", "amd64"),
        ("xz-utils", "5.4.1-1+deb12u2", "amd64"),
    ]


def test_apt_on_a_terminal() -> None:
    assert native(RECORDED["apt_terminal"]) == [
        ("file", "1:5.44-3", "amd64"),
        ("less", "590-2.1~deb12u2", "amd64"),
        ("libmagic-mgc", "1:5.44-3", "amd64"),
        ("libmagic1", "1:5.44-3", "amd64"),
    ]


def test_dnf_installs_upgrades_and_removes() -> None:
    logs = [RECORDED[name] for name in ("dnf", "dnf_upgrade", "dnf_remove")]
    first = [
        ("a-very-long-package-name-of-a-library", "2:12.3.4-5.el9_2", "noarch"),
        ("libplain", "1.0-1.el9", "noarch"),
        ("tool-devel", "2.0~rc1-3", "noarch"),
    ]
    assert native(logs[0]) == first
    assert native(b"".join(logs[:2])) == [first[0], ("libplain", "1.1-1.el9", "noarch"), first[2]]
    assert native(b"".join(logs)) == []


def test_pip_tells_names_with_dashes_apart() -> None:
    assert python(RECORDED["pip"]) == {
        "backports-tarfile": "1.2.0",
        "charset_normalizer": "3.5.2",
        "idna": "3.20",
        "python-dateutil": "4.0.0",
        "requests": "2.34.2",
        "ruamel.yaml": "0.19.1",
        "tzdata": "2026.6",
        "urllib3": "2.8.0",
    }
    assert python(RECORDED["pip"] + RECORDED["pip_change"])["requests"] == "2.31.0"


def test_pipenv_is_read_where_it_shows_what_pip_says() -> None:
    found = python(RECORDED["pipenv_verbose"])  # wrapped at 80 columns
    assert len(found) == 19
    assert found["jsonschema-specifications"] == "2025.9.1"
    assert found["attrs"] == "26.1.0"
    assert found["urllib3"] == "2.8.0"
    assert python(RECORDED["pipenv"]) == {}  # without --verbose it names no version


def test_uv_in_colours_with_changes_and_on_a_terminal() -> None:
    assert len(python(RECORDED["uv"])) == 7
    assert python(RECORDED["uv"] + RECORDED["uv_change"])["requests"] == "2.31.0"
    assert python(RECORDED["uv_terminal"]) == {
        "markdown-it-py": "4.3.0",
        "mdurl": "0.1.2",
        "pygments": "2.21.0",
        "rich": "15.0.0",
        "six": "1.17.0",
    }
    assert {item.installer for item in read(RECORDED["uv"]).python} == {"uv"}


def test_uv_that_only_shows_what_it_would_do_installs_nothing() -> None:
    assert b" + rich==" in RECORDED["uv_dry"]
    assert python(RECORDED["uv_dry"]) == {}


# --- As their sources and documents show it ------------------------------------------------------------------------------------------


def test_apk() -> None:
    log = (
        "fetch https://mirror.example/alpine/v3.19/main/x86_64/APKINDEX.tar.gz\n"
        "(1/4) Installing libbz2 (1.0.8-r6)\n"
        "(2/4) Installing .build-deps (20240101.120000)\n"
        "(3/4) Upgrading musl (1.2.4_git20230717-r4 -> 1.2.5-r0)\n"
        "( 4/4) Purging libbz2 (1.0.8-r6)\n"
        "Executing busybox-1.36.1-r15.trigger\nOK: 56 MiB in 40 packages\n"
    )
    assert native(log) == [
        (".build-deps", "20240101.120000", "x86_64"),
        ("musl", "1.2.5-r0", "x86_64"),
    ]


def test_yum_tables_have_names_and_versions_side_by_side() -> None:
    log = (
        "Installed:\n  gcc.x86_64 0:4.8.5-44.el7    vim-minimal.x86_64 2:7.4.629-8.el7_9  \n\n"
        "Dependency Installed:\n  cpp.x86_64 0:4.8.5-44.el7 \n\nUpdated:\n  bash.x86_64 0:4.2.46-35.el7_9 \n\nComplete!\n"
    )
    assert native(log) == [
        ("bash", "4.2.46-35.el7_9", "x86_64"),
        ("cpp", "4.8.5-44.el7", "x86_64"),
        ("gcc", "4.8.5-44.el7", "x86_64"),
        ("vim-minimal", "2:7.4.629-8.el7_9", "x86_64"),
    ]


def test_microdnf_and_dnf_5_have_a_line_for_each() -> None:
    log = (
        "Updating/Installing: libxcrypt;4.4.36-4.fc40;x86_64;fedora\nInstalling: tar;2:1.34-6.el9_1;x86_64;baseos\n"
        "Removing: which;2.21-29.el9;x86_64;installed\nComplete.\n"
        "[ 3/12] Installing pcre2-syntax-0:10.43 100% |  12.0 MiB/s | 240 KiB |  00m00s\n"
        "[ 4/12] Installing pcre2-0:10.43-2.fc41 100% |  12.0 MiB/s | 240 KiB |  00m00s\n"
        "[ 5/12] Installing pcre2-0:10.43-2.fc41.x86_64 100% |  12.0 MiB/s | 240 KiB |  00m00s\n"
    )
    assert native(log) == [
        ("libxcrypt", "4.4.36-4.fc40", "x86_64"),
        ("pcre2", "10.43-2.fc41", "x86_64"),
        ("tar", "2:1.34-6.el9_1", "x86_64"),
    ]


def test_what_dpkg_could_not_set_up_is_not_installed() -> None:
    log = (
        "Unpacking good (1) ...\nUnpacking bad:amd64 (2) ...\nUnpacking other (3) ...\nSetting up good (1) ...\n"
        "Setting up bad:amd64 (2) ...\ndpkg: error processing package bad:amd64 (--configure):\n"
    )
    assert native(log) == [("good", "1", None)]


def test_two_architectures_stand_beside_each_other() -> None:
    log = "Setting up libc6:i386 (2.36-9) ...\nSetting up libc6:amd64 (2.36-9) ...\n"
    assert native(log) == [("libc6", "2.36-9", "amd64"), ("libc6", "2.36-9", "i386")]


def test_steps_of_a_build_whose_lines_come_mixed_are_told_apart() -> None:
    def lines(name: str, step: int) -> list[str]:
        return [
            f"#{step} {number}.5 {line}" for number, line in enumerate(RECORDED[name].decode().splitlines())
        ]

    names = ("dnf", "uv", "apt")
    mixed = itertools.zip_longest(*(lines(name, step) for step, name in enumerate(names, 7)), fillvalue="")
    found = read("\n".join(itertools.chain.from_iterable(mixed)))
    alone = [read(RECORDED[name]) for name in names]
    assert set(found.native) == {item for contents in alone for item in contents.native}
    assert found.python == alone[1].python


def test_times_before_lines_are_passed_over() -> None:
    log = "\n".join(f"2026-01-02T03:04:05.678Z {line}" for line in RECORDED["uv"].decode().splitlines())
    assert len(python(log)) == 7


# --- Whatever the log ----------------------------------------------------------------------------------------------------------------

PIECES = [piece for log in RECORDED.values() for piece in re.findall(rb"[^\n]+\n", log[:4000])]
names = st.from_regex(r"[a-z][a-z0-9]{0,5}([-_.][a-z0-9]{1,4}){0,3}", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?(\+cu[0-9]{2})?", fullmatch=True)


class Slow(io.BytesIO):
    """Gives a few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.most, size if size and size > 0 else self.most))


@given(st.one_of(st.binary(max_size=600), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)))
def test_any_log_is_read(log: bytes) -> None:
    for item in (found := read(log)).native + found.python:
        assert item.name.isprintable()
        assert item.version.isprintable()
        assert len(item.name) <= 512


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("most", [1, 7, 1000])
def test_it_does_not_matter_in_which_pieces_it_comes(name: str, most: int) -> None:
    log = RECORDED[name][-5000:]
    assert read_log(Slow(log, most), target="build.log") == read(log)


@pytest.mark.parametrize("end", ["\r\n", "\r\r\n", "\x1b[0m\n"])
@pytest.mark.parametrize("name", ["apt", "pip", "uv", "dnf_upgrade"])
def test_it_does_not_matter_how_lines_end(name: str, end: str) -> None:
    text = RECORDED[name].decode()
    assert read(text.replace("\n", end)) == read(text)


@given(st.dictionaries(names, versions, min_size=1, max_size=20))
def test_pip_names_and_versions_come_back(stack: dict[str, str]) -> None:
    order = "Installing collected packages: " + ", ".join(stack)
    done = "Successfully installed " + " ".join(f"{name}-{version}" for name, version in stack.items())
    found = read(f"{order}\n\n{done}\n").python
    assert {(item.name, item.version) for item in found} <= set(stack.items())
    assert len(found) == len({re.sub(r"[-_.]+", "-", name) for name in stack})


@given(st.dictionaries(names, versions, min_size=1, max_size=20))
def test_uv_names_and_versions_come_back(stack: dict[str, str]) -> None:
    lines = "".join(
        f" \x1b[32m+\x1b[39m \x1b[1m{name}\x1b[0m=={version}\n" for name, version in stack.items()
    )
    found = read(f"Installed {len(stack)} packages in 3ms\n{lines}").python
    assert {(item.name, item.version) for item in found} <= set(stack.items())


@pytest.mark.parametrize(
    "piece",
    [b"\r", b"a", b"\x1b7", b"\x1b[0;", b"\x1b]0;", b"a-1 ", b"a-", b" + a==1", b"#1 ", b"1970-01-01T"],
)
@pytest.mark.parametrize(
    "before", [b"", b"Successfully installed ", b"Preparing to unpack ", b"(1/2) Installing "]
)
def test_a_huge_line_takes_little_time(monkeypatch: pytest.MonkeyPatch, before: bytes, piece: bytes) -> None:
    monkeypatch.setattr(buildlog_lines, "LINE", 100_000)
    started = time.perf_counter()
    assert read(before + piece * (300_000 // len(piece)) + b"\nSetting up less (1) ...\n").native
    assert time.perf_counter() - started < 2


def test_what_comes_after_a_huge_line_is_read() -> None:
    line = b"x" * (3 * buildlog_lines.LINE)
    assert native(line + b"\nSetting up less (1) ...\n") == [("less", "1", None)]


def test_a_log_that_names_too_many_packages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buildlog_found, "MOST", 1000)
    with pytest.raises(TooLargeError, match=r"build\.log names more than 1,000"):
        read(b"".join(b"(1/2) Installing p%d (1)\n" % number for number in range(1001)))
