"""``djed build``: an environment and what it is packaged as, without running anything in it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from djed.cli import follow, outcome
from djed.cli.artifacts import file_name, next_steps, short
from djed.cli.overrides import Overrides, read
from djed.cli.parameters import Injected, Json
from djed.cli.render import shapes
from djed.cli.render.table import Column, table
from djed.cli.render.text import bold, dim
from djed.cli.render.words import count
from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.inspection import Inspection
from djed.model.quantity import format_size

if TYPE_CHECKING:
    from djed.config import Config
    from djed.intake import Submission
    from djed.service import Service

__all__ = ["build"]

_EPOCH = "SOURCE_DATE_EPOCH"


def build(
    file: Annotated[Path, Parameter(name="FILE", help="A request file (.yaml, .json, .toml), or a script.")],
    /,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    package: Annotated[
        str | None,
        Parameter(
            metavar="KIND,KIND",
            help="What to package it as: image, sif, archive; instead of what the request says.",
        ),
    ] = None,
    output: Annotated[
        Path | None, Parameter(metavar="DIR", help="Also write each packaging into this folder.")
    ] = None,
    force: Annotated[bool, Parameter(help="Replace files that are there.")] = False,
    fresh: Annotated[bool, Parameter(help="Do all anew, whatever the request says of reuse.")] = False,
    json: Json = False,
    context: Injected,
) -> int:
    """Lock and build an environment, package it, and run nothing.

    Says where each artifact is, and the commands that bring it elsewhere. SOURCE_DATE_EPOCH, where it is set, is the time of its files.
    """
    submission = _asked(
        read(file, overrides or Overrides(), context.arguments, context.config), package, context.config
    )
    with context.engine() as engine:
        engine.check_parts()
        (inspection,) = engine.submit([submission], fresh=fresh)
        if not follow.follow(engine, [inspection], context.console):
            return follow.INTERRUPTED
        inspection = engine.get(inspection.id)
        if inspection.outcome != "succeeded":
            outcome.report(engine, [inspection], context.console, json=json)
            return follow.exit_code([inspection])
        made = list(_made(engine, inspection))
        written = _write(engine, inspection, made, output, force=force) if output else []
        if json:
            value = shapes.inspection(inspection, engine.jobs(inspection.id))
            context.console.json({**value, "artifacts": [_shape(name, item) for name, item in made]})
        else:
            _tell(inspection, made, written, context)
    return 0


def _asked(submission: "Submission", package: str | None, config: "Config") -> "Submission":
    """The request, to be built only; checked like what a file says. Raises ``RequestError``."""
    from djed.intake import read_mapping

    asked = encode(replace(submission.request, until="build"))
    if package is not None:
        kinds = list(dict.fromkeys(kind.strip() for kind in package.split(",") if kind.strip()))
        asked["build"] = {**asked.get("build", {}), "package": kinds}
    epoch = os.environ.get(_EPOCH)
    if epoch:
        environment = asked.get("environment", {})
        variables = {_EPOCH: epoch, **environment.get("variables", {})}
        asked["environment"] = {**environment, "variables": variables}
    return replace(submission, request=read_mapping(asked, config=config).request)


def _made(engine: "Service", item: Inspection) -> Iterator[tuple[str, Artifact]]:
    """The environment, then what it is packaged as."""
    for digest in (item.artifact, *item.packaged.values()):
        artifact = engine.artifact(digest) if digest else None
        if artifact is not None:
            yield (
                next((kind for kind, other in item.packaged.items() if other == digest), "environment"),
                artifact,
            )


def _write(
    engine: "Service", item: Inspection, made: Sequence[tuple[str, Artifact]], folder: Path, *, force: bool
) -> list[Path]:
    """A file of each packaging."""
    from djed.service import push

    written = []
    for name, artifact in made:
        if name == "environment":
            continue
        path = folder / file_name(item.name, artifact.kind)
        to = push.Destination(way="oci-archive" if artifact.kind == "image" else "file", place=str(path))
        with engine.files(artifact.digest) as files:
            push.push(files, artifact, to, force=force)
        written.append(path)
    return written


def _shape(name: str, artifact: Artifact) -> dict[str, Any]:
    image = artifact.image
    return {
        "name": name,
        "kind": artifact.kind,
        "digest": artifact.digest,
        "size": artifact.size,
        "image": encode(image.digest) if image else None,
    }


def _tell(
    item: Inspection, made: Sequence[tuple[str, Artifact]], written: Sequence[Path], context: Injected
) -> None:
    """What was made, as data; how to go on, as advice."""
    console = context.console
    console.gap()
    columns = [Column(title="BUILT"), Column(title="DIGEST"), Column(title="SIZE", right=True)]
    console.lines(
        table(
            columns,
            [[name, bold(short(artifact.digest)), format_size(artifact.size)] for name, artifact in made],
        )
    )
    for path in written:
        console.note("Wrote ", bold(str(path)))
    for name, artifact in made:
        if name != "environment" and not written:
            for step in next_steps(item.name, artifact.kind, artifact.digest):
                console.note("  ", dim(f"{name}: "), step)
    if not item.packaged:
        packages = count(len(item.lock.packages), "package") if item.lock else "it"
        console.note(
            f"Use {packages} with ",
            bold("djed inspect"),
            ", or package it: ",
            bold("djed build FILE --package archive"),
        )
