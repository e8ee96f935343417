"""What package managers that are not recorded, and our own program, say about bases and native packages, and the class that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.model.observation import FAILURE_CLASSES, Failure
from djed.model.result import Result
from djed.observe.outcome import classify

RECORDED = Path(__file__).parent / "recorded"
OURS = "djed: error: engine_failed: podman could not build the image: exit status 1\n"

OTHERS = {
    "dnf_unknown": (
        "No match for argument: libgomp9\nError: Unable to find a match: libgomp9\n",
        "no_such_native",
        "There is no package libgomp9",
    ),
    "dnf_conflict": (
        "Error: \n Problem: problem with installed package a-1-1.noarch\n  - package b-1-1.noarch conflicts with a provided by a\n",
        "native_conflict",
        "problem with installed package a-1-1.noarch; package b-1-1.noarch conflicts with a",
    ),
    "dnf_network": (
        "Error: Failed to download metadata for repo 'baseos': Cannot prepare internal mirrorlist: Could not resolve host\n",
        "repository_unreachable",
        "The package repository baseos of the base cannot be used: its name is not known.",
    ),
    "microdnf_unknown": ("error: No package matches 'libgomp9'\n", "no_such_native", "There is no package libgomp9"),
    "yum_unknown": ("No package libgomp9 available.\n", "no_such_native", "There is no package libgomp9"),
    "apk_unknown": (
        "ERROR: unable to select packages:\n  libgomp9 (no such package):\n    required by: world[libgomp9]\n",
        "no_such_native",
        "There is no package libgomp9",
    ),
    "apk_network": (
        "WARNING: fetching https://mirror.example/v3: temporary error\nERROR: unable to select packages:\n  a (no such package):\n",
        "repository_unreachable",
        "mirror.example of the base cannot be used: temporary error",
    ),
    "apk_conflict": (
        "ERROR: unable to select packages:\n  libgomp-13.2.1-r1:\n    breaks: world[libgomp=99]\n",
        "native_conflict",
        "breaks: world[libgomp=99]",
    ),
    "apt_expired": (
        "E: Release file for http://mirror.example/debian/dists/sid/InRelease is expired (invalid since 3h).\n",
        "repository_unreachable",
        "mirror.example of the base cannot be used: is expired",
    ),
    "disk_full": (
        "dpkg: error processing archive: cannot copy extracted data: failed to write (No space left on device)\n",
        "disk_full",
        "There was no space left on the disk for the image.",
    ),
}  # fmt: skip


def _classify(stderr: str) -> Failure:
    failure = classify(
        stage="build",
        result=Result(exit_code=1, sandbox="none"),
        stdout=b"",
        stderr=stderr.encode(),
        context={},
    )
    assert failure is not None
    return failure


@pytest.mark.parametrize("name", OTHERS)
def test_what_package_managers_say_gets_its_class_and_names(name: str) -> None:
    text, kind, words = OTHERS[name]
    failure = _classify(text + OURS)
    assert (failure.kind, words in failure.message) == (kind, True), failure.message


def test_the_nearest_name_is_proposed() -> None:
    failure = _classify((RECORDED / "native_unknown.txt").read_text(encoding="utf-8"))
    assert failure.hint == "Write libgomp1, if that is meant; the names are those of the base's own system."
    assert failure.subject["available"][:2] == ("libgomp1", "libomp5")


def test_our_program_names_the_class_itself_and_the_last_word_counts() -> None:
    said = "djed: error: base_damaged: base.tar holds '../x', which leads out.\n"
    failure = _classify("djed: error: internal: first\n" + said + "djed: hint: Save it again.\n")
    assert (failure.kind, failure.message, failure.hint) == (
        "base_damaged",
        "base.tar holds '../x', which leads out.",
        "Save it again.",
    )


def test_a_class_that_our_program_would_not_name_is_not_believed() -> None:
    assert _classify("djed: error: cancelled: by whom?\n").kind == "nonzero_exit"
    assert _classify("djed: error: no_such_class: x\n").kind == "nonzero_exit"


def test_words_of_package_managers_mean_nothing_in_a_log_that_is_not_of_our_program() -> None:
    assert _classify("E: Unable to locate package libgomp9\n").kind == "nonzero_exit"


def test_every_class_of_ours_has_a_hint_where_the_program_gives_none() -> None:
    kinds = FAILURE_CLASSES[FAILURE_CLASSES.index("no_such_base") : FAILURE_CLASSES.index("no_such_native")]
    for kind in kinds:
        failure = _classify(f"djed: error: {kind}: something\n")
        assert (failure.kind, bool(failure.hint)) == (kind, True)
