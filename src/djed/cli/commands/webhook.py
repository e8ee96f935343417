"""``djed webhook``: addresses that are told what happens."""

import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from djed.cli.parameters import Count, Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import Part, bad, bold, dim, good
from djed.cli.render.words import age
from djed.model.codec import encode
from djed.model.webhook import Delivery, Webhook

__all__ = ["add", "app", "deliveries", "list_webhooks", "remove"]

app = App(
    name="webhook", help="Tell other programs what happens, by signed messages.", help_formatter="plain"
)

_Id = Annotated[str, Parameter(name="WEBHOOK", help="Id of a webhook, as `djed webhook list` shows it.")]


@app.command
def add(
    url: Annotated[str, Parameter(name="URL", help="Where messages are sent to: https://…")],
    /,
    *,
    event: Annotated[
        list[str] | None,
        Parameter(metavar="KIND", help="Only events of this kind (done, state, job …); may be repeated."),
    ] = None,
    json: Json = False,
    context: Injected,
) -> None:
    """Tell an address of events, and show the secret by which its messages are signed.

    The secret is told only now.
    """
    with context.engine() as engine:
        webhook, secret = engine.add_webhook(url, event or ())
    if json:
        context.console.json({**_shape(webhook), "secret": secret})
        return
    context.console.note("Added ", bold(webhook.id), "; its secret, which is not shown again:")
    context.console.out(secret)


@app.command(name="list")
def list_webhooks(*, json: Json = False, context: Injected) -> None:
    """List the webhooks, and how they are doing."""
    with context.engine() as engine:
        found = engine.webhooks()
    if json:
        context.console.json([_shape(item) for item in found])
        return
    if not found:
        context.console.note("No webhooks.")
        return
    columns = [
        Column(title="ID"),
        Column(title="URL", least=16),
        Column(title="EVENTS", least=8),
        Column(title="STATE", least=12),
    ]
    context.console.lines(table(columns, [_row(item) for item in found], width=context.console.width))


@app.command(name="rm")
def remove(webhook: _Id, /, *, context: Injected) -> None:
    """Tell an address nothing more."""
    with context.engine() as engine:
        engine.remove_webhook(webhook)
    context.console.note(f"Removed the webhook {webhook}")


@app.command
def deliveries(
    webhook: _Id,
    /,
    *,
    limit: Annotated[Count, Parameter(help="At most so many.")] = 100,
    json: Json = False,
    context: Injected,
) -> None:
    """List what an address was told last, and what was given up, the newest first."""
    with context.engine() as engine:
        found = engine.deliveries(webhook, limit=limit)
    if json:
        context.console.json(encode(found))
        return
    columns = [
        Column(title="INSPECTION"),
        Column(title="EVENT"),
        Column(title="STATE"),
        Column(title="TRIES", right=True),
        Column(title="AGE", right=True),
        Column(title="ANSWER", least=8),
    ]
    rows = [_delivery(item, time.time()) for item in found]
    context.console.lines(table(columns, rows, width=context.console.width) if rows else [])


def _shape(item: Webhook) -> dict[str, Any]:
    return {"active": item.active, **encode(item)}


def _row(item: Webhook) -> list[Part]:
    if not item.active:
        state: Part = dim("inactive")
    elif item.failures:
        state = bad(f"failed {item.failures}\u00d7: {item.last_error or 'no answer'}")
    else:
        state = good("active")
    return [item.id, bold(item.url), " ".join(item.events) or "all", state]


def _delivery(item: Delivery, now: float) -> list[Part]:
    state = item.state.replace("_", " ")
    return [
        item.inspection,
        item.kind,
        good(state) if item.state == "delivered" else bad(state),
        str(item.attempts),
        age(item.at, now),
        item.error or (str(item.status) if item.status else "-"),
    ]
