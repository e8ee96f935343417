"""Every command, good and bad, on an engine from memory: what goes where, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from djed.errors import StoreError

Djed = Callable[..., Any]

JSON_COMMANDS = [
    "list", "show matmul", "show broken", "show picky", "stats", "stats matmul", "gc", "rm matmul", "hwinfo", "hwinfo --noise",
    "diff matmul broken", "config", "doctor", "retry matmul", "retry broken", "export", "export --observations",
]  # fmt: skip


@pytest.mark.parametrize("command", JSON_COMMANDS)
def test_json_is_json_and_nothing_else(djed: Djed, engine: Any, command: str) -> None:
    options = [] if command.startswith("export") else ["--json"]
    assert json.loads(djed(*command.split(), *options).out) is not None


def test_a_list_shows_how_each_ended(djed: Djed, engine: Any) -> None:
    lines = djed("list").out.splitlines()
    assert [line.split()[2] for line in lines] == ["STATE", "succeeded", "failed", "refused"]


def test_a_list_is_limited_and_says_so(djed: Djed, engine: Any) -> None:
    result = djed("list", "--limit", "1")
    assert len(result.out.splitlines()) == 2
    assert "There are more" in result.err


def test_a_list_is_filtered(djed: Djed, engine: Any) -> None:
    names = [item["name"] for item in json.loads(djed("list", "--state", "refused", "--json").out)]
    assert names == ["picky"]


def test_an_empty_list_says_how_to_begin(djed: Djed, engine: Any) -> None:
    engine.inspections.clear()
    result = djed("list")
    assert (result.out, "djed inspect" in result.err) == ("", True)


@pytest.mark.usefixtures("terminal")
def test_a_list_fits_the_terminal(djed: Djed, engine: Any) -> None:
    item = engine.get("matmul")
    engine.add(replace(item, name="n" * 100))
    lines = djed("--color", "never", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[1]


def test_show_tells_everything(djed: Djed, engine: Any) -> None:
    out = djed("show", "matmul").out
    words = [
        "numpy    2.1.3",
        "Fast CPU",
        "bwrap (bubblewrap 0.8.0)",
        "1.05s",
        "run:1",
        "timeline",
        "numpy==2.1.*",
    ]
    assert [word for word in words if word not in out] == []


def test_show_names_the_failure_with_evidence_and_hint(djed: Djed, engine: Any) -> None:
    out = djed("show", "broken").out
    assert "import_error in run: No module named 'distutils', which psij needs" in out
    assert "│ ModuleNotFoundError: No module named 'distutils'" in out
    assert "hint: Run it on Python 3.11 or older." in out


def test_show_of_a_refusal_says_which_line_failed(djed: Djed, engine: Any) -> None:
    out = djed("show", "picky").out
    assert "run.hardware.gpu.count  4+      0       no" in out


def test_an_unknown_inspection_is_a_sentence(djed: Djed, engine: Any) -> None:
    result = djed("show", "nothing")
    assert (result.code, result.out) == (3, "")
    assert result.err == "error: There is no inspection 'nothing'.\nhint: djed list shows them.\n"


def test_logs_are_raw_when_piped(djed: Djed, engine: Any) -> None:
    assert djed("logs", "broken", "--stdout").out == "hello\n\x1b[31mred\x1b[0m\n"


@pytest.mark.usefixtures("terminal")
def test_logs_are_neutral_on_a_terminal(djed: Djed, engine: Any) -> None:
    assert djed("logs", "broken", "--stdout").out == "hello\nred\n"


def test_logs_show_the_step_that_failed(djed: Djed, engine: Any) -> None:
    engine.texts["job-lock", "stderr"] = b"locking\n"
    assert "locking" not in djed("logs", "broken").out
    assert "locking" in djed("logs", "broken", "--all").out
    assert djed("logs", "broken", "--job", "lock").out == "locking\n"


def test_logs_of_one_run(djed: Djed, engine: Any) -> None:
    engine.texts["job-run:1", "stdout"] = b"second\n"
    assert djed("logs", "matmul", "--run", "1").out == "second\n"


def test_logs_of_an_unknown_job_name_the_known_ones(djed: Djed, engine: Any) -> None:
    result = djed("logs", "matmul", "--job", "dance")
    assert result.code == 3
    assert "lock, build, run:0, run:1" in result.err


def test_logs_of_a_job_and_a_run_exclude_each_other(djed: Djed, engine: Any) -> None:
    assert djed("logs", "matmul", "--job", "lock", "--run", "1").code == 2


def test_cancelling_what_is_over_is_a_conflict(djed: Djed, engine: Any) -> None:
    result = djed("cancel", "matmul")
    assert (result.code, result.err) == (4, "error: It is already over.\n")


def test_cancelling_ends_it(djed: Djed, engine: Any) -> None:
    engine.add(replace(engine.get("matmul"), state="running", outcome=None))
    result = djed("cancel", "matmul")
    assert (result.code, "Cancelled matmul" in result.err) == (0, True)


@pytest.mark.parametrize("command", ["cancel", "rm", "inspect"])
def test_a_command_without_its_object_says_what_to_name(djed: Djed, engine: Any, command: str) -> None:
    result = djed(command)
    assert result.code == 2
    assert f"hint: Name {'a request file' if command == 'inspect' else 'inspections'}" in result.err


def test_what_runs_is_not_removed(djed: Djed, engine: Any) -> None:
    engine.add(replace(engine.get("matmul"), state="running"))
    assert djed("rm", "matmul").code == 4


def test_gc_reads_durations(djed: Djed, engine: Any) -> None:
    assert djed("gc", "--older-than", "30d", "--dry-run").out == "Would remove 1 artifact, 2 blobs (3 MiB)\n"
    assert ("gc", (30 * 86400, True)) in engine.calls


def test_gc_refuses_what_is_no_duration(djed: Djed, engine: Any) -> None:
    result = djed("gc", "--older-than", "soon")
    assert (result.code, "90s, 10m or 2h" in result.err) == (2, True)


def test_stats_show_every_value(djed: Djed, engine: Any) -> None:
    assert "duration: 1.00s  1.10s" in djed("stats", "matmul").out


def test_stats_of_the_store_count(djed: Djed, engine: Any) -> None:
    totals = json.loads(djed("stats", "--json").out)
    assert totals["inspections"] == 3
    assert totals["failures"] == {"import_error": 1, "refused": 1}


def test_hwinfo_speaks_the_names_of_requirements(djed: Djed, engine: Any) -> None:
    out = djed("hwinfo").out
    assert [
        word for word in ("arch", "cores", "memory", "gpu", "os", "sandboxes") if f"  {word} " not in out
    ] == []


def test_hwinfo_measures_the_noise_floor(djed: Djed, engine: Any) -> None:
    assert "noise floor 2 %" in djed("hwinfo", "--noise").out


def test_config_says_where_a_value_comes_from(djed: Djed) -> None:
    rows = json.loads(djed("config", "--set", "limits.disk=1Gi", "--json").out)
    row = next(row for row in rows if row["name"] == "limits.disk")
    assert (row["value"], row["source"], row["variable"]) == (2**30, "command line", "DJED_LIMITS_DISK")


def test_a_wrong_setting_is_a_sentence(djed: Djed) -> None:
    result = djed("--set", "limits.dsk=1", "config")
    assert (result.code, "Did you mean 'limits.disk'?" in result.err) == (2, True)


def test_a_setting_needs_a_value(djed: Djed) -> None:
    assert djed("--set", "limits.disk", "config").code == 2


def test_doctor_works_where_the_store_does_not(djed: Djed, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(config: object) -> None:
        raise StoreError("The store cannot be read.")

    monkeypatch.setattr("djed.cli.context.open_engine", broken)
    result = djed("doctor")
    assert (result.code, result.err) == (0, "error: The store cannot be read.\n")
    assert "uv" in result.out


def test_schema_is_a_schema(djed: Djed) -> None:
    assert "properties" in json.loads(djed("schema").out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["list", "--dance"],
        ["show"],
        ["list", "--limit", "x"],
        ["show", "a", "b"],
        ["list", "--limit", "1.5"],
        ["list", "--limit", "-1"],
        ["show", "\udcff"],
    ],
)
def test_a_wrong_call_is_a_sentence_and_exit_code_2(djed: Djed, arguments: list[str]) -> None:
    result = djed(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")


def test_global_options_stand_anywhere(djed: Djed, engine: Any) -> None:
    assert djed("-q", "rm", "matmul").err == djed("rm", "matmul", "-q").err == ""


def test_colours_are_for_terminals_or_on_request(djed: Djed, engine: Any) -> None:
    assert "\x1b[" not in djed("list").out
    assert "\x1b[32msucceeded" in djed("list", "--color", "always").out


@pytest.mark.usefixtures("terminal")
def test_no_color_is_honoured(djed: Djed, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in djed("list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in djed("list").out


def test_a_bug_crashes(djed: Djed, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "page", lambda **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        djed("list")
