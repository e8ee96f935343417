"""Parameters that several commands share."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter, Token

from djed.cli.context import Context

__all__ = ["Count", "Injected", "Json", "Reference", "References"]


def _count(_hint: object, tokens: Sequence[Token]) -> int:
    """A whole number from 0; Cyclopts by itself would round ``1.5``."""
    text = tokens[0].value
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


Count = Annotated[int, Parameter(converter=_count)]

Injected = Annotated[Context, Parameter(parse=False)]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON.")]
Reference = Annotated[
    str,
    Parameter(
        name="ID", help="An inspection: its id, the beginning of it, its name (the newest), or `latest`."
    ),
]
References = Annotated[
    str, Parameter(name="ID", help="Inspections: ids, their beginnings, names, or `latest`.")
]
