"""Parameters that several commands share."""

from typing import Annotated

from cyclopts import Parameter

from djed.cli.context import Context

__all__ = ["Injected", "Json", "Reference", "References"]

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
