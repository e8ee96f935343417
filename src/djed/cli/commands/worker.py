"""``djed worker``: more hands for a server's store."""

import signal
import threading
from contextlib import suppress

from djed.cli.parameters import Injected
from djed.cli.render.text import bold, dim
from djed.errors import MissingPartError
from djed.toolbox.systemd import notify

__all__ = ["worker"]

_LOOK = 1.0
"""Seconds between two looks at whether the work goes on."""


def worker(*, context: Injected) -> None:
    """Do the work of a store until told to stop; running jobs go on and are adopted later."""
    from djed.api.logging import configure
    from djed.service import Engine

    with suppress(MissingPartError):  # without the server's parts the log is plainer
        configure(context.config)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Engine.open(context.config) as engine, engine.serving():
        context.console.note("Working on ", bold(str(context.config.data)), dim(" (Ctrl-C stops)"))
        notify("READY=1")
        while engine.works.broken is None and not stop.wait(_LOOK):
            pass
        notify("STOPPING=1")
    context.console.note("Stopped.")
