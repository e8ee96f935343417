"""``djed audit``: who did what."""

import json as json_text
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from djed.cli.administration import administering
from djed.cli.parameters import Count, Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import bold, dim
from djed.cli.render.words import moment
from djed.errors import RequestError

__all__ = ["audit"]


def audit(
    *,
    limit: Annotated[Count, Parameter(help="At most so many.")] = 50,
    namespace: Annotated[str | None, Parameter(help="Only what was done in this namespace.")] = None,
    json: Json = False,
    context: Injected,
) -> None:
    """Show who did what through the API, the newest first."""
    if limit < 1:
        raise RequestError("--limit must be at least 1.")
    with administering(context) as admin:
        page = admin.audit(limit=limit, after=None, namespace=namespace)
    console = context.console
    if json:
        console.json([asdict(entry) for entry in page.items])
        return
    columns = [
        Column(title="TIME"),
        Column(title="WHO", least=8),
        Column(title="NAMESPACE", least=8),
        Column(title="ACTION"),
        Column(title="SUBJECT"),
        Column(title="DETAIL", least=16),
    ]
    rows = [
        (
            moment(entry.at),
            bold(entry.actor),
            entry.namespace,
            entry.action,
            entry.subject or "-",
            dim(json_text.dumps(dict(entry.detail)) if entry.detail else "-"),
        )
        for entry in page.items
    ]
    console.lines(table(columns, rows, width=console.width))
    if page.next is not None:
        console.note(dim(f"There is more; --limit shows more than {limit}."))
