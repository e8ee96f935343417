"""``djed config``: every setting in force."""

import re
from typing import Any

from djed.cli.parameters import Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import bold, dim
from djed.config import Config, settings

__all__ = ["masked", "show_config"]

_SHOWN = len("djed_ab12")
_PASSWORDS = re.compile(r"((?<=://)[^:/@]*:).*(?=@)|((?<=[?&])password=)[^&]*")
"""Of an address: between name and host, or as a parameter."""


def show_config(*, json: Json = False, context: Injected) -> None:
    """Show every setting, and where its value comes from."""
    rows = _rows(context.config)
    if json:
        context.console.json(rows)
        return
    columns = [
        Column(title="SETTING"),
        Column(title="VALUE", least=16),
        Column(title="SOURCE"),
        Column(title="VARIABLE"),
    ]
    cells = [
        (
            row["name"],
            _text(row["value"]),
            dim("default") if row["source"] == "default" else bold(row["source"]),
            row["variable"],
        )
        for row in rows
    ]
    context.console.lines(table(columns, cells, width=context.console.width))


def _rows(config: Config) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "value": masked(name, _value(getattr(config, field))),
            "default": _value(default),
            "source": config.sources.get(name, "default"),
            "variable": variable,
            "help": text,
        }
        for name, variable, default, text, field in settings()
    ]


def masked(name: str, value: Any) -> Any:
    """The value without what nobody should read over a shoulder or in a bug report."""
    if not isinstance(value, str):
        return value
    if name == "token":
        return f"{value[:_SHOWN]}…"
    return _PASSWORDS.sub(r"\1\2…", value) if name == "store" else value


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
