"""``djed store``: where everything is kept."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from djed.cli.parameters import Injected, Json
from djed.cli.render.text import bold, dim
from djed.errors import RequestError
from djed.model.quantity import format_size

__all__ = ["app"]

app = App(name="store", help="Where everything is kept.", help_formatter="plain")


@app.command
def info(*, json: Json = False, context: Injected) -> None:
    """Show kind, place, version and size of the store."""
    from djed.store.copy import count_rows
    from djed.store.store import Store

    store = Store.open(context.config)
    database = store.database
    try:
        with database.read() as connection:
            rows = count_rows(connection)
        version, size = database.version(), database.size()
    finally:
        store.close()
    if json:
        found = {"kind": database.kind, "address": database.address, "version": version, "size": size}
        context.console.json({**found, "data": str(store.data), "place": store.place or None, "rows": rows})
        return
    shown = {
        "database": f"{database.address} ({database.kind}, version {version}, {format_size(size)})",
        "data folder": store.data,
        "rows": ", ".join(f"{name} {number}" for name, number in rows.items() if number),
    }
    for name, value in shown.items():
        context.console.out(bold(f"{name:<12}"), f" {value}")


@app.command
def copy(
    to: Annotated[str, Parameter(name="TO", help="An empty database: postgresql://USER@HOST/NAME")],
    /,
    *,
    json: Json = False,
    context: Injected,
) -> None:
    """Copy the store from its SQLite file to a PostgreSQL database."""
    from djed.store.copy import copy_store

    if not to.startswith(("postgresql://", "postgres://")):
        raise RequestError(
            "A store can be copied to a PostgreSQL database only.",
            hint="Name it as postgresql://USER@HOST/NAME",
        )
    console = context.console

    def tell(table: str, done: int, count: int) -> None:
        if done == count or done % 100_000 == 0:
            console.note(bold("Copied"), f" {table} ", dim(f"{done} of {count}"))

    counts = copy_store(context.config.data, to, progress=tell)
    if json:
        console.json({"rows": dict(counts)})
        return
    console.note(
        f"The store is in the database now. Blobs and artifacts stay in {context.config.data}. ",
        "To use it, set ",
        bold("store"),
        " to that address (DJED_STORE, or the settings file).",
    )
