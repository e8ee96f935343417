"""``djed doctor``: what is here, and what that means."""

from dataclasses import asdict

from djed.cli.parameters import Injected, Json
from djed.cli.render.text import Line, bad, bold, dim, good
from djed.errors import DjedError
from djed.model.hardware import Interpreter

__all__ = ["doctor"]


def doctor(*, json: Json = False, context: Injected) -> None:
    """Say which parts are on this machine, and what that means."""
    from djed.toolbox.parts import parts

    found = parts(context.config, interpreters=_interpreters(context))
    if json:
        context.console.json([asdict(part) for part in found])
        return
    width = max((len(part.name) for part in found), default=0)
    for part in found:
        mark = good("✓") if part.present else bad("✗")
        context.console.out(
            mark, " ", bold(part.name.ljust(width)), f"  {part.version or ''}", dim(f"  {part.detail or ''}")
        )
        lines: list[Line] = [(part.meaning,)] if part.meaning else []
        if part.hint and not part.present:
            lines.append((dim("hint: "), part.hint))
        for line in lines:
            context.console.out(" " * (width + 4), *line)


def _interpreters(context: Injected) -> list[Interpreter] | None:
    """The Pythons that the engine finds; ``None`` where not even a store can be opened, which is worth a word of its own."""
    try:
        with context.engine() as engine:
            return [interpreter for node in engine.nodes() for interpreter in node.interpreters]
    except DjedError as error:
        context.console.err(bad("error"), ": ", error.message)
        return None
