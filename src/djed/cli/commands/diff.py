"""``djed diff``: what differs between two inspections, or in what is inside two things."""

import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from djed.cli.parameters import Injected, Json
from djed.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from djed.cli.context import Context
    from djed.model.inspection import Inspection
    from djed.service import Service

__all__ = ["diff"]

_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def diff(
    a: Annotated[
        str,
        Parameter(name="A", help="An inspection; or a file, folder, artifact or image, as `extract` has it."),
    ],
    b: Annotated[str, Parameter(name="B", help="Another one.")],
    /,
    *,
    json: Json = False,
    context: Injected,
) -> None:
    """Show only what differs between two inspections, or in what is inside two images, files or folders.

    Of inspections: request, packages, environment, hardware, and the results with the ratio and its interval. Of what is inside: system,
    native and Python packages, symbols, variables and layers.
    """
    if _is_target(a) and _is_target(b):
        _contents(a, b, context, json=json)
        return
    with context.engine() as engine:
        first, second = _inspection(engine, a), _inspection(engine, b)
        found = engine.difference(a, b) if first and second else None
    if first is None and second is None:
        _contents(a, b, context, json=json)
    elif first is None or second is None or found is None:
        inspection, target = (b, a) if first is None else (a, b)
        raise RequestError(
            f"{inspection} is an inspection, and {target} something to look into.",
            hint=f"Compare {target} with the artifact of the inspection; djed show {inspection} tells its digest.",
        )
    elif json:
        context.console.json({"a": first.id, "b": second.id, **asdict(found)})
    else:
        from djed.cli.render.difference import difference_lines

        context.console.lines(difference_lines(first, second, found))


def _is_target(text: str) -> bool:
    """Whether it can be no inspection: their names hold neither slashes nor colons."""
    return "/" in text or ":" in text


def _inspection(engine: "Service", text: str) -> "Inspection | None":
    """The inspection of that name; ``None`` where there is none, but a file, folder or artifact may be."""
    if _is_target(text):
        return None
    try:
        return engine.get(text)
    except NotFoundError:
        if os.path.lexists(text) or _DIGEST.fullmatch(text):
            return None
        raise


def _contents(a: str, b: str, context: "Context", *, json: bool) -> None:
    from djed.observe.contents_difference import contents_difference
    from djed.service.extract import extract

    first, second = extract(a, context.config), extract(b, context.config)
    found = contents_difference(first, second)
    if json:
        context.console.json({"a": first.target, "b": second.target, **asdict(found)})
    else:
        from djed.cli.render.difference import contents_difference_lines

        context.console.lines(contents_difference_lines(first, second, found))
