"""``djed serve``: the service over HTTP."""

import dataclasses
import sys
from json import dumps
from typing import Annotated

from cyclopts import Parameter

from djed import __version__
from djed.cli.console import Console
from djed.cli.parameters import Injected, Json
from djed.cli.render.text import bold, dim
from djed.errors import MissingPartError, RequestError

__all__ = ["serve"]


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on, else `serve.host`.")] = None,
    port: Annotated[
        int | None, Parameter(help="Port to listen on, else `serve.port`; 0: any that is free.")
    ] = None,
    open_: Annotated[
        bool, Parameter(name="--open", help="Without tokens; on a loopback address only.")
    ] = False,
    no_work: Annotated[bool, Parameter(help="Only answer; `djed worker` does the work.")] = False,
    json: Json = False,
    context: Injected,
) -> None:
    """Serve inspections over HTTP until it is told to stop."""
    try:
        from djed.api.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "djed").startswith("djed"):
            raise
        raise MissingPartError(
            f"The server's part {error.name} is not installed.", hint="pip install 'djed[server]'"
        ) from error
    from djed.service import Engine
    from djed.service.admin import Admin

    if port is not None and not 0 <= port <= 65535:
        raise RequestError("--port must be from 0 to 65535.")
    config = dataclasses.replace(
        context.config,
        serve_host=context.config.serve_host if host is None else host,
        serve_port=context.config.serve_port if port is None else port,
        serve_open=context.config.serve_open or open_,
        serve_work=context.config.serve_work and not no_work,
    )
    console = context.console
    with Engine.open(config) as engine:

        def ready(address: str) -> None:
            admin = Admin.of(engine.store)
            token = None
            if not config.serve_open and not admin.any_tokens():
                _, token = admin.create_token("first", scope="admin")
            _tell(console, address, token, json=json)

        run(engine, config, ready=ready)
    console.note("Stopped.")


def _tell(console: Console, address: str, token: str | None, *, json: bool) -> None:
    if json:
        console.text(dumps({"url": address, "token": token}) + "\n")
    else:
        console.note("Djed ", __version__, " serves at")
        console.out(bold(address))
        if token is not None:
            console.note("The first token, with the scope admin; it is shown only now:")
            console.out(token)
        console.note(dim("Ctrl-C stops it; running jobs go on."))
    sys.stdout.flush()  # who started us through a pipe waits for it
