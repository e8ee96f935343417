"""``djed token``: the keys to the API."""

import time
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from djed.cli.administration import administering
from djed.cli.parameters import Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import Part, bad, bold, dim, warn
from djed.cli.render.words import age
from djed.errors import RequestError
from djed.model.access import Token
from djed.model.principal import DEFAULT_NAMESPACE, Scope
from djed.model.quantity import parse_duration

__all__ = ["app"]

app = App(name="token", help="Make, list and revoke the tokens of the API.", help_formatter="plain")


@app.command
def create(
    name: Annotated[str, Parameter(name="NAME", help="Whose it is, or what for; the audit log shows it.")],
    /,
    *,
    namespace: Annotated[str, Parameter(help="What it sees and works in.")] = DEFAULT_NAMESPACE,
    scope: Annotated[
        Scope, Parameter(help="What it allows; each allows what those before it allow.")
    ] = "submit",
    expires: Annotated[
        str | None, Parameter(metavar="TIME", help="Its life: 90d, 12h. Else it does not expire.")
    ] = None,
    json: Json = False,
    context: Injected,
) -> None:
    """Make a token; it is shown only now."""
    try:
        ttl = None if expires is None else parse_duration(expires)
    except ValueError as error:
        raise RequestError(f"--expires: {error}.") from error
    with administering(context) as admin:
        token, text = admin.create_token(name, namespace=namespace, scope=scope, ttl=ttl)
    if json:
        context.console.json({**asdict(token), "text": text})
        return
    context.console.note(
        "Token ",
        bold(token.id),
        f" for {name}: may {scope} in the namespace {namespace}. It is shown only now:",
    )
    context.console.out(text)


@app.command(name="list")
def list_tokens(*, json: Json = False, context: Injected) -> None:
    """List the tokens, those that open nothing any more included."""
    with administering(context) as admin:
        found = admin.tokens()
    console = context.console
    if json:
        console.json([asdict(token) for token in found])
        return
    if not found:
        console.note("No tokens. Make one with ", bold("djed token create NAME"))
        return
    now = time.time()
    columns = [
        Column(title="ID"),
        Column(title="NAME", least=10),
        Column(title="NAMESPACE", least=10),
        Column(title="SCOPE"),
        Column(title="AGE", right=True),
        Column(title="STATE"),
    ]
    console.lines(table(columns, [_row(token, now) for token in found], width=console.width))


@app.command(usage="Usage: djed token revoke [OPTIONS] ID...")
def revoke(
    *ids: Annotated[str, Parameter(name="ID", help="Ids of tokens.")], json: Json = False, context: Injected
) -> None:
    """Let tokens open nothing any more."""
    if not ids:
        raise RequestError(
            "There is nothing to revoke.", hint="Name tokens by their ids: djed token revoke ID"
        )
    with administering(context) as admin:
        revoked = [admin.revoke(id_) for id_ in ids]
    if json:
        context.console.json([asdict(token) for token in revoked])
        return
    for token in revoked:
        context.console.note(warn("Revoked"), " ", bold(token.name), f" {token.id}")


def _row(token: Token, now: float) -> list[Part]:
    return [
        token.id,
        bold(token.name),
        token.namespace,
        token.scope,
        age(token.created_at, now),
        _state(token, now),
    ]


def _state(token: Token, now: float) -> Part:
    if token.revoked_at is not None:
        return bad("revoked")
    if token.expires_at is None:
        return dim("valid")
    return bad("expired") if token.expires_at <= now else f"for {age(now, token.expires_at)}"
