"""``djed doctor``: what is here, and what that means."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from djed.cli.context import open_client
from djed.cli.parameters import Injected, Json
from djed.cli.render.text import Line, bad, bold, dim, good
from djed.cli.render.words import count
from djed.errors import DjedError
from djed.model.hardware import Interpreter
from djed.toolbox.parts import Part, parts

if TYPE_CHECKING:
    from djed.client import Client
    from djed.config import Config
    from djed.model.engine import ContainerEngine

__all__ = ["doctor"]


def doctor(*, json: Json = False, context: Injected) -> None:
    """Say which parts are on this machine, or whether the server can be used, and what that means."""
    found = _found(context)
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


def _found(context: Injected) -> Sequence[Part]:
    if context.config.server is not None:
        return _server(context.config)
    interpreters = _interpreters(context)
    found = parts(context.config, interpreters=interpreters)
    return found if interpreters is None else [*found, *_for_images(context.config)]


def _interpreters(context: Injected) -> list[Interpreter] | None:
    """The Pythons that the engine finds; ``None`` where not even a store can be opened, which is worth a word of its own."""
    try:
        with context.engine() as engine:
            return [interpreter for node in engine.nodes() for interpreter in node.interpreters]
    except DjedError as error:
        context.console.err(bad("error"), ": ", error.message)
        return None


def _for_images(config: "Config") -> list[Part]:
    """What only environments on images need; the first time it is tried, which takes seconds."""
    from djed.run import engines, levels

    here = levels.probe(config.data, deep=True)
    found = [_engine(engine) for engine in here.engines]
    there = {part.name for part in found}
    meaning = "One engine is enough: it installs native packages and runs containers."
    for name, reason in engines.reasons(config.data).items():
        if name not in there:
            found.append(Part(name=name, present=False, detail=reason, meaning=meaning))
    boxed = next((item for item in here.sandboxes if item.level == "gvisor"), None)
    meaning = "Jobs can ask for a kernel of their own: sandbox: gvisor."
    version = boxed.tool.removeprefix("runsc ") if boxed and boxed.tool else None
    hint = "Install runsc: apt install runsc"
    found.append(Part(name="gvisor", present=boxed is not None, version=version, meaning=meaning, hint=hint))
    meaning = "It fetches images by their names and pushes them, without an engine."
    found.append(_tool("skopeo", meaning, "Install it: apt install skopeo"))
    meaning = "Apptainer files are written with it where apptainer itself is not there."
    return [*found, _tool("sqfstar", meaning, "Install it: apt install squashfs-tools")]


def _engine(engine: "ContainerEngine") -> Part:
    able = [
        word
        for word, there in (("installs native packages", engine.builds), ("runs containers", engine.runs))
        if there
    ]
    meaning = f"It {' and '.join(able) or 'is of no use here'}."
    detail = ", ".join(filter(None, (engine.path, engine.runtime)))
    return Part(
        name=engine.name,
        present=True,
        version=engine.version,
        detail=detail,
        meaning=f"{meaning} {engine.warning}" if engine.warning else meaning,
    )


def _tool(name: str, meaning: str, hint: str) -> Part:
    path = shutil.which(name)
    return Part(name=name, present=path is not None, detail=path, meaning=meaning, hint=hint)


def _server(config: "Config") -> list[Part]:
    """The connection, the token and the nodes; each only where the one before is there."""
    found: list[Part] = []
    with open_client(config) as client:
        for name, look in (("server", _connection), ("token", _token), ("nodes", _nodes)):
            try:
                found.append(look(client))
            except DjedError as error:
                found.append(Part(name=name, present=False, detail=error.message, hint=error.hint))
                break
    return found


def _connection(client: "Client") -> Part:
    meaning = "Inspections are done there; nothing is needed on this machine."
    return Part(name="server", present=True, version=client.version(), detail=client.url, meaning=meaning)


def _token(client: "Client") -> Part:
    who = client.whoami()
    meaning = f"It is good for {who.scope} in the namespace {who.namespace}."
    return Part(name="token", present=True, detail=who.name, meaning=meaning)


def _nodes(client: "Client") -> Part:
    nodes = client.nodes()
    meaning = "Jobs run there." if nodes else "Nothing is done until a worker is started there."
    return Part(
        name="nodes",
        present=bool(nodes),
        detail=count(len(nodes), "node"),
        meaning=meaning,
        hint="On a machine of the server: djed worker",
    )
