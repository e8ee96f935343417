"""The page docs/reference/cli.md, made from the commands themselves: ``python -m djed.cli.reference`` prints it."""

# ruff: noqa: E501 - a row of a table is one line

from __future__ import annotations

import io

from djed import errors
from djed.cli.main import COMMANDS, build

__all__ = ["page"]

_INTRODUCTION = """\
# Commands

This page is generated (`python -m djed.cli.reference`); a test compares it.

Data goes to stdout, everything else to stderr. Every command that lists or shows takes `--json`. Where stdout is no terminal, nothing is
coloured or cut, and logs come as the raw bytes of the job; on a terminal, control characters in logs and names are taken out or shown as
pictures, so that nothing a job writes can steer it. What stands behind `--` are arguments of the script.

An ID is the id of an inspection, the beginning of it (three characters at least), its name (the newest of that name), or `latest`.

While `djed inspect`, `djed retry` or `djed logs -f` waits, Ctrl-C cancels the inspection after a second and the command exits with 130. A
second Ctrl-C within that second leaves the job running; `djed logs -f ID` comes back to it and brings it to its end.
"""

_JSON = """\
## JSON

Times are Unix times in seconds, durations are seconds, sizes are bytes. New keys may be added; none changes its meaning.

| command | value |
| --- | --- |
| `list` | list of `id`, `name`, `state`, `outcome`, `failure` (its class), `created_at`, `seconds`, `node`, `metric` (text), `repeats`; every key is always there |
| `show`, `inspect`, `retry` | the inspection (below); `inspect` of several files gives a list |
| `inspect --detach` | list of `id`, `name`, `state` |
| `build` | the inspection (below), and `artifacts`: list of `name` (`environment`, `image`, `sif`, `archive`), `kind`, `digest`, `size`, `image` (digest of its manifest, or null) |
| `plan` | `name`, `fits`, and where known `reason`, `failure`, `build_node`, `run_node`, `python`, `considered` (nodes with what was asked and found), `lock`, `jobs`, `cached` (what is there already: `lock`, `build`), `recipe`, `queue` |
| `queue` | `id`, `state`, `position` (inspections before it), `running` (jobs on its node), and where known `expected_start`, `waits_for` (a sentence) |
| `cancel` | list of `id`, `name`, `state` |
| `rm` | `removed`: how many |
| `gc` | `inspections`, `artifacts`, `blobs`, `attempts`, `locks`: how many; `size`; `dry_run` |
| `artifacts` | list of `digest`, `kind`, `size`, `created_at`, `used_at`, `packages`, `inspections` (how many use it), `inspection` (name of the newest of them); every key is always there |
| `push` | `digest`, `kind`, `destination`, `manifest` (its digest in a registry, or null), `size` (bytes written here, or null) |
| `extract` | [all of it](contents.md) |
| `diff` | `a`, `b`: ids; `request`, `packages`, `native`, `environment`, `hardware`, `outcome`: lists of `name`, `before`, `after` (null: not there); `results`: list of `metric`, `unit`, `before`, `after`, `ratio` (after / before), `low`, `high`, `floor`, `verdict`, `reason`. Of what is inside two things: `a`, `b`: as they were named; lists of changes `system`, `native`, `python`, `symbols`, `variables`, `settings`, `layers`; `shared_layers`, `shared_size` |
| `stats` | without an ID `inspections` and by name the counts `states`, `outcomes`, `failures`; with one the list of its statistics |
| `export` | list of inspections; with `--observations` list of `seq`, `inspection`, `kind`, `created_at`, `subject`, `value` |
| `hwinfo` | `nodes`: list of `id`, `target`, `hardware`, `interpreters`, `sandboxes`, `labels`; with `--noise` also `noise_floor` (relative) |
| `secret list` | list of names |
| `webhook add`, `webhook list` | a webhook, or a list of them: `id`, `url`, `active`, and where they are not as at the beginning `events`, `created_at`, `failures`, `due`, `last_error`; `add` also `secret` |
| `webhook deliveries` | list of `webhook`, `position`, `inspection`, `kind`, `state`, `attempts`, and where known `status`, `error`, `at`, `data` |
| `doctor` | list of `name`, `present`, `version`, `detail`, `meaning`, `hint` |
| `config` | list of `name`, `value`, `default`, `source`, `variable`, `help` |
| `schema` | the JSON Schema of request files |

An inspection always has `id`, `name`, `state`, `request`, `created_at`, `updated_at`, `outcome`, `final` (whether it is over), `failure`,
`statistics`, `stack` (version by package) and `jobs`; `show` adds `events` and, while the environment is there, its `size` and `contents`. `plan`, `lock`, `artifact`, `refusals`, `reused` and `group` are
there once they are known. Inside `request`, `lock` and the like a key that holds its default is left out. `failure` is null or has `stage`,
`kind`, `message`, `hint`, `evidence`, `subject`. A job has `id`, `kind`, `role`, `state` and, once known, `attempts`, `attempt`, `node`,
`started_at`, `ended_at`, `result` (its report), `failure`.

`export --format csv` has one line for every value of every metric: `inspection`, `name`, `state`, `outcome`, `failure`, `created_at`, `node`,
`python`, `metric`, `unit`, `repeat`, `value`, `outlier`. A text that a spreadsheet would take for a formula has an apostrophe before it.
"""

_GLOBAL = "Global options:"

_SPECIAL = (
    ("0", "success; for `inspect`, `retry` and `logs -f`: every inspection succeeded"),
    ("1", "an inspection failed, timed out, or ran out of memory; or an error without a code of its own"),
    ("130", "an inspection was cancelled, or left running by a second Ctrl-C"),
    ("141", "the reader of the output went away"),
)


def page() -> str:
    """The whole page."""
    sections = [
        _INTRODUCTION,
        _global_options(),
        *(_command(name) for name in COMMANDS),
        _exit_codes(),
        _JSON,
    ]
    return "\n".join(sections)


def _global_options() -> str:
    options = _help(()).partition(_GLOBAL)[2].strip("\n")
    return f"## Global options\n\nThey may stand anywhere before `--`.\n\n```text\n{options}\n```\n"


def _command(name: str) -> str:
    parts = [f"## `djed {name}`\n\n{_text((name,))}"]
    if COMMANDS[name].endswith(":app"):
        group = build()[name]
        parts += [
            f"### `djed {name} {word}`\n\n{_text((name, word))}" for word in group if not word.startswith("-")
        ]
    return "\n".join(parts)


def _text(tokens: tuple[str, ...]) -> str:
    text = _help(tokens).partition(_GLOBAL)[0].strip()
    return f"```text\n{text}\n```\n"


def _help(tokens: tuple[str, ...]) -> str:
    from rich.console import Console

    text = io.StringIO()
    build().help_print(tokens, console=Console(file=text, width=100))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _exit_codes() -> str:
    codes: dict[str, list[str]] = {}
    for kind in errors.DjedError.__subclasses__():  # those below them share their code
        if kind.__module__ == errors.__name__:
            codes.setdefault(str(kind.exit_code), []).append((kind.__doc__ or "").strip().rstrip("."))
    rows = [*_SPECIAL, *((code, "; ".join(texts)) for code, texts in codes.items())]
    lines = [f"| {code} | {text} |" for code, text in sorted(rows, key=lambda row: int(row[0]))]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "| --- | --- |", *lines, ""])


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
