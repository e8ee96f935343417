"""What real tools said, and the class that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from djed.model.observation import Failure, Stage
from djed.model.result import Result
from djed.observe.outcome import classify

RECORDED = Path(__file__).parent / "recorded"

PACKAGES = {
    "backend_failed": ("build_backend_failed", "backenderr cannot be built: RuntimeError: this package needs CUDA."),
    "backend_import": ("build_backend_failed", "missdep needs numpy to build and does not say so"),
    "backend_missing_reqs": ("no_such_package", "no package setuptools on the index, which extcc==1.0 needs to build"),
    "bad_archive": ("build_backend_failed", "badtar cannot be built: Invalid gzip header."),
    "badreq": ("nonzero_exit", "Couldn't parse requirement"),
    "compile_error": ("build_backend_failed", "ext.c:1:9: error: expected expression"),
    "compiler_missing": ("compiler_missing", "extcc needs /nonexistent to build"),
    "compiler_missing_gcc": ("compiler_missing", "extcc needs gcc to build"),
    "conflict": ("conflict", "pandas>=2.1.0 needs numpy>=1.23.2, and you ask for numpy<1.20."),
    "conflict_bounds": ("conflict", "tensorflow==2.15.0 needs numpy>=1.23.5,<2.0.0, and you ask for numpy>=2."),
    "conflict_chain": ("conflict", "pandas==2.2.3 needs numpy>=1.23.2, and you ask for numpy==1.21.0."),
    "conflict_all_versions": ("conflict", "top==1.0 needs core>=2, and you ask for core<2."),
    "conflict_direct": ("conflict", "you ask for numpy<1.20, and you ask for numpy>=2."),
    "disk_full": ("disk_full", "Locking found no space left on the disk."),
    "exclude_newer": ("no_such_version", "no version numpy==2.2.0; exclude_newer leaves out"),
    "fetch_refused": ("index_unreachable", "index.example cannot be reached: the connection was refused"),
    "hash_mismatch": ("hash_mismatch", "A file of numpy==2.1.0 does not have the hash"),
    "hash_mismatch_sdist": ("hash_mismatch", "A file of extcc==1.0 does not have the hash"),
    "header_missing": ("header_missing", "extheader needs the header nothere.h"),
    "index_401": ("index_unreachable", "index.example denies access (401)"),
    "index_403": ("index_unreachable", "index.example denies access (403)"),
    "index_404": ("no_such_package", "There is no package numpy on the index."),
    "index_500": ("index_unreachable", "has an error of its own (500)"),
    "index_503": ("index_unreachable", "has an error of its own (503)"),
    "index_dns": ("index_unreachable", "its name is not known"),
    "index_refused": ("index_unreachable", "the connection was refused"),
    "index_tls": ("index_unreachable", "no secure connection"),
    "library_missing_ld": ("missing_library", "lz needs the library nothere to link with"),
    "native_conflict": ("native_conflict", "msmtp-mta : Conflicts: mail-transport-agent; nullmailer : Conflicts: mail-"),
    "native_no_network": ("repository_unreachable", "The package repository mirror.example of the base cannot be used: its name"),
    "native_unknown": ("no_such_native", "There is no package libgomp9 in the repositories of the base; near it are libgomp1"),
    "native_version": ("no_such_native", "no version 99 of libgomp1; there is 12.2.0-14+deb12u1."),
    "native_virtual": ("no_such_native", "mail-transport-agent is not a package but a role that several play: ssmtp, "),
    "no_build": ("no_wheel", "extcc==1.0 has no wheel"),
    "no_hash": ("nonzero_exit", "must have their versions pinned"),
    "no_such_package": ("no_such_package", "There is no package no-such-package-djed-zzz on the index."),
    "no_such_version": ("no_such_version", "There is no version numpy==99.1.0."),
    "no_such_version_below": ("no_such_version", "numpy<0.1; there is numpy>=1.3.0."),
    "no_such_version_range": ("no_such_version", "numpy>=99; there is numpy<=2.5.5."),
    "no_wheel": ("no_wheel", "numpy==1.19.5 has no wheel"),
    "no_wheel_abi": ("no_wheel", "no wheel for this Python; there are wheels for cp39, cp310, cp311."),
    "no_wheel_tags": ("no_wheel", "no wheel for this platform; there are wheels for win32, win_amd64, win_arm64."),
    "no_wheel_unusable": ("no_wheel", "numpy>=2.5.0 has no wheel"),
    "pkg_config": ("header_missing", "mysqlclient==2.2.4 needs the development files of mysqlclient"),
    "project_conflict": ("conflict", "pandas>=2.1.0 needs numpy>=1.23.2, and you ask for numpy<1.20."),
    "project_conflict_direct": ("conflict", "you ask for numpy==2.1.0, and you ask for numpy<2."),
    "project_conflict_universal": ("conflict", "psij-python>=0.9.11 needs pystache>=0.6.0, and you ask for pystache<0.6."),
    "project_no_such_package": ("no_such_package", "There is no package nope-zzz-q on the index."),
    "project_no_such_version": ("no_such_version", "numpy>=99; there is numpy<=2.5.5."),
    "project_no_wheel": ("no_wheel", "extcc==1.0 has no wheel"),
    "project_python": ("python_incompatible", "numpy>=2.5.0rc1 needs Python >=3.12"),
    "pylock_no_wheel": ("no_wheel", "extq has no wheel"),
    "pylock_no_wheel2": ("no_wheel", "extq has no wheel for this Python; there are wheels for cp39."),
    "pylock_python": ("python_incompatible", "The lock needs Python >=3.12, and this environment has 3.11.7."),
    "pylock_unreachable": ("index_unreachable", "the connection was refused"),
    "python_incompatible": ("python_incompatible", "numpy>=2.5.0rc1 needs Python >=3.12, and this environment has 3.9."),
    "python_incompatible_current": ("python_incompatible", "and this environment has 3.11.7."),
    "python_required": ("python_incompatible", "modern==1.0 needs Python >=3.99"),
    "quiet_backenderr": ("build_backend_failed", "backenderr-1.0 cannot be built"),
    "quiet_badtar": ("build_backend_failed", "badtar-1.0 cannot be built: Invalid gzip header."),
    "quiet_extheader": ("header_missing", "extheader-1.0 needs the header nothere.h"),
    "quiet_lz": ("missing_library", "lz-1.0 needs the library nothere"),
    "quiet_missdep": ("build_backend_failed", "missdep-1.0 needs numpy to build"),
    "rust_missing": ("compiler_missing", "needs cargo to build"),
    "uv_build_header": ("header_missing", "extheader-1.0 needs the header nothere.h"),
}  # fmt: skip

SCRIPTS = {
    "bwrap": (1, "sandbox_failed", "Can't find source path /nowhere"),
    "bwrap2": (1, "sandbox_failed", "Can't find source path /nonexistent"),
    "bwrap3": (1, "interpreter_missing", "there is no nosuchcmd in the environment"),
    "disk_full_python": (1, "disk_full", "The script found no space left on the disk."),
    "env_interpreter": (127, "interpreter_missing", "there is no nosuchinterp in the environment"),
    "ld_so": (127, "missing_library", "The script needs the shared library libbar.so"),
    "node_import": (1, "import_error", "needs 'leftpadx'"),
    "perl_import": (2, "import_error", "needs 'Foo/Bar.pm'"),
    "py_attribute": (1, "import_error", "gizmo cannot be imported: module 'inspect' has no 'getargspec'."),
    "py_chain": (1, "import_error", "No module named 'nothere', which the script imports."),
    "py_chain2": (1, "import_error", "No module named 'widgets_core', which frobnicate needs."),
    "py_circ": (1, "import_error", "circ cannot import 'zed' from circ."),
    "py_ctypes": (1, "missing_library", "libcudart.so.12"),
    "py_error": (1, "nonzero_exit", "ended with exit code 1: ValueError: bad input: 3."),
    "py_exit": (1, "nonzero_exit", "ended with exit code 1: no data in input.csv."),
    "py_file": (1, "nonzero_exit", "FileNotFoundError"),
    "py_import": (1, "import_error", "No module named 'widgets_core', which frobnicate needs."),
    "py_import_direct": (1, "import_error", "No module named 'nothere', which the script imports."),
    "py_import_name": (1, "import_error", "gadget cannot import 'Mapping' from collections."),
    "py_library": (1, "missing_library", "libby needs the shared library libfoo.so.1"),
    "py_memory": (1, "out_of_memory", "The script ran out of memory: MemoryError."),
    "py_psij": (1, "import_error", "psij-python cannot be imported: module 'psij' has no 'UnreachableStateException'."),
    "py_std": (1, "import_error", "No module named 'tkinter._nope'"),
    "py_syntax": (1, "nonzero_exit", "SyntaxError: '[' was never closed."),
    "sh_notfound": (127, "nonzero_exit", "nosuchcommand: not found"),
    "sigill_fault": (132, "illegal_instruction", "The script used an instruction"),
}  # fmt: skip


def _classify(name: str, stage: Stage, exit_code: int) -> Failure:
    failure = classify(
        stage=stage,
        result=Result(exit_code=exit_code, sandbox="bwrap"),
        stdout=b"",
        stderr=(RECORDED / f"{name}.txt").read_bytes(),
        context={"packages": {"psij": ["psij-python"]}},
    )
    assert failure is not None
    return failure


@pytest.mark.parametrize("name", PACKAGES)
def test_what_uv_and_compilers_say_gets_its_class_and_names(name: str) -> None:
    kind, words = PACKAGES[name]
    failure = _classify(name, "lock", 1)
    assert (failure.kind, words in failure.message) == (kind, True), failure.message


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_scripts_say_gets_its_class_and_names(name: str) -> None:
    exit_code, kind, words = SCRIPTS[name]
    failure = _classify(name, "run", exit_code)
    assert (failure.kind, words in failure.message) == (kind, True), failure.message


@pytest.mark.parametrize("name", [*PACKAGES, *SCRIPTS])
def test_every_failure_has_a_sentence_a_hint_and_evidence_from_the_log(name: str) -> None:
    failure = _classify(name, "run" if name in SCRIPTS else "build", 1)
    log = (RECORDED / f"{name}.txt").read_text(encoding="utf-8")
    assert failure.message.endswith((".", "?"))
    assert "\n" not in failure.message
    assert failure.hint
    assert 1 <= len(failure.evidence) <= 10
    assert all(line in log for line in failure.evidence)


def test_every_recorded_text_is_looked_at() -> None:
    assert {path.stem for path in RECORDED.glob("*.txt")} == {*PACKAGES, *SCRIPTS}


def test_the_evidence_of_a_conflict_holds_both_sides() -> None:
    shown = "\n".join(_classify("project_conflict", "lock", 1).evidence)
    assert "numpy<1.20" in shown
    assert "numpy>=1.23.2" in shown


def test_a_conflict_names_its_sides_for_programs() -> None:
    sides = _classify("conflict_chain", "lock", 1).subject["sides"]
    assert [side["who"] for side in sides] == ["pandas==2.2.3", "you"]


def test_a_removed_module_points_at_the_python_that_had_it() -> None:
    trace = (
        b'Traceback (most recent call last):\n  File "s.py", line 1, in <module>\n    import distutils\n'
        b"ModuleNotFoundError: No module named 'distutils'\n"
    )
    failure = classify(stage="run", result=Result(exit_code=1), stdout=b"", stderr=trace, context={})
    assert failure is not None
    assert "3.12" in (failure.hint or "")
