"""How an attempt ended, as its runner saw it."""

from __future__ import annotations

from typing import Any

import pytest

from djed.model.hardware import Hardware
from djed.model.observation import FAILURE_CLASSES, Failure
from djed.model.result import Result
from djed.observe.outcome import classify

MIB = 2**20


def _run(result: Result, stderr: bytes = b"", **context: Any) -> Failure:
    failure = classify(stage="run", result=result, stdout=b"", stderr=stderr, context=context)
    assert failure is not None
    return failure


def test_exit_code_0_is_success() -> None:
    assert (
        classify(stage="run", result=Result(exit_code=0), stdout=b"", stderr=b"Traceback", context={}) is None
    )


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        (Result(cancelled=True, signal=15), "cancelled", "was cancelled"),
        (Result(lost=True, node="local/a"), "lost", "vanished on local/a"),
        (Result(timed_out=True, signal=9), "timeout", "within 10.00s"),
        (Result(timed_out=True, exit_code=0), "timeout", "within 10.00s"),
        (Result(out_of_memory=True, signal=9, peak_memory=63 * MIB), "out_of_memory", "limit of 64 MiB (peak 63 MiB)"),
        (Result(out_of_memory=True, exit_code=0), "out_of_memory", "though the command itself ended with exit code 0"),
        (Result(signal=9, peak_memory=64 * MIB), "out_of_memory", "ran out of memory of 64 MiB"),
        (Result(disk_exceeded=True, signal=9), "disk_full", "more than the 1 GiB"),
        (Result(signal=11), "killed_by_signal", "SIGSEGV"),
        (Result(exit_code=139), "killed_by_signal", "SIGSEGV"),
        (Result(signal=9), "killed_by_signal", "SIGKILL"),
        (Result(signal=63), "killed_by_signal", "signal 63"),
        (Result(signal=4), "illegal_instruction", "instruction"),
        (Result(exit_code=3), "nonzero_exit", "exit code 3, and said nothing."),
        (Result(error="interpreter not found: /usr/bin/julia (first line of script)"), "interpreter_missing", "no /usr/bin/julia in"),
        (Result(error="program not found: nope"), "interpreter_missing", "no nope in"),
        (Result(error="script cannot be executed: Permission denied"), "interpreter_missing", "Permission denied."),
        (Result(error="the sandbox could not be set up: No permissions"), "sandbox_failed", "set up: No permissions."),
        (Result(error="no space left on the device for its output"), "disk_full", "no space left"),
        (Result(error="its output could not be written: I/O error"), "internal", "I/O error"),
    ],
)  # fmt: skip
def test_what_the_runner_saw_gives_the_class(result: Result, kind: str, words: str) -> None:
    failure = _run(result, timeout=10.0, memory=64 * MIB, disk=2**30)
    assert (failure.kind, words in failure.message) == (kind, True), failure.message
    assert failure.kind in FAILURE_CLASSES
    assert failure.evidence


def test_what_the_runner_saw_comes_before_what_the_log_claims() -> None:
    assert _run(Result(timed_out=True, signal=9), b"MemoryError\n", timeout=1.0).kind == "timeout"


def test_an_illegal_instruction_names_what_the_processor_lacks() -> None:
    hardware = Hardware(arch="x86_64", processor="Old CPU", cpu_flags=("ssse3", "sse4_1", "sse4_2", "popcnt"))
    failure = _run(Result(signal=4), hardware=hardware)
    assert "Old CPU does not know; it lacks avx, f16c, fma, bmi1" in failure.message
    assert failure.hint is not None
    assert "cpu_flags: [avx]" in failure.hint


def test_a_hardware_record_without_flags_accuses_nobody() -> None:
    assert "lacks" not in _run(Result(signal=4), hardware={"arch": "x86_64"}).message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            b"numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array",
            "Unable to allocate",
        ),
        (b"terminate called after throwing an instance of 'std::bad_alloc'", "bad_alloc"),
        (b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "GPU memory"),
        (b"FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "heap"),
    ],
)
def test_a_program_may_say_itself_that_memory_is_out(line: bytes, words: str) -> None:
    failure = _run(Result(exit_code=1), line)
    assert (failure.kind, words in failure.message) == ("out_of_memory", True), failure.message


def test_a_library_that_is_too_old_is_a_missing_library() -> None:
    line = b"./tool: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./tool)"
    failure = _run(Result(exit_code=1), line)
    assert failure.kind == "missing_library"
    assert "lacks GLIBC_2.38" in failure.message


def test_an_early_warning_does_not_explain_a_later_failure() -> None:
    log = b"W: libcudart.so.11.0: cannot open shared object file\n" + b"epoch\n" * 30 + b"ValueError: nan\n"
    assert _run(Result(exit_code=1), log).kind == "nonzero_exit"


def test_a_package_that_fails_while_it_is_imported_is_an_import_error() -> None:
    trace = (
        b'Traceback (most recent call last):\n  File "/job/s.py", line 1, in <module>\n    import tensorboard\n'
        b'  File "/env/lib/python3.11/site-packages/tensorboard/__init__.py", line 3, in <module>\n    f()\n'
        b"TypeError: Descriptors cannot be created directly.\n"
    )
    failure = _run(Result(exit_code=1), trace)
    assert failure.kind == "import_error"
    assert (
        failure.message
        == "tensorboard fails while it is imported: TypeError: Descriptors cannot be created directly."
    )


def test_an_error_that_a_call_into_a_package_raises_is_the_scripts_own() -> None:
    trace = (
        b'Traceback (most recent call last):\n  File "/job/s.py", line 4, in <module>\n    numpy.zeros(-1)\n'
        b'  File "/env/lib/python3.11/site-packages/numpy/core.py", line 3, in zeros\n    g()\nValueError: negative dimensions\n'
    )
    assert _run(Result(exit_code=1), trace).kind == "nonzero_exit"


def test_a_fallback_after_a_failed_import_is_not_blamed_on_the_import() -> None:
    trace = (
        b'Traceback (most recent call last):\n  File "s.py", line 2, in <module>\n    import ujson\n'
        b"ModuleNotFoundError: No module named 'ujson'\n\n"
        b"During handling of the above exception, another exception occurred:\n\n"
        b'Traceback (most recent call last):\n  File "s.py", line 4, in <module>\n    load(x)\nKeyError: 3\n'
    )
    assert _run(Result(exit_code=1), trace).kind == "nonzero_exit"


def test_a_script_that_wanted_the_network_is_told_how_to_get_it() -> None:
    failure = _run(Result(exit_code=6), b"curl: (6) Could not resolve host: data.example", network=False)
    assert failure.hint is not None
    assert "run.network" in failure.hint


def test_secrets_in_urls_and_terminal_codes_stay_out_of_the_evidence() -> None:
    failure = _run(Result(exit_code=1), b"\x1b[31merror\x1b[0m: https://me:secret@index.example/x\n")
    assert failure.evidence == ("error: https://***@index.example/x",)
    assert "secret" not in failure.message
