"""``djed extract``: what is inside an image, an archive, an environment, a folder; or was installed according to a log."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import Parameter

from djed.cli.parameters import Injected, Json
from djed.errors import DjedError, RequestError
from djed.service.extract import extract as look_into
from djed.service.extract import extract_log

if TYPE_CHECKING:
    from djed.cli.context import Context
    from djed.model.contents import Contents

__all__ = ["extract"]


_Target = Annotated[
    str | None,
    Parameter(
        name="TARGET",
        help="`oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`; a file or folder, whose content tells what it is; the digest of an "
        "artifact; or the name of an image.",
    ),
]
_Log = Annotated[
    str | None,
    Parameter(
        metavar="FILE",
        allow_leading_hyphen=True,
        help="Instead: what this build log says was installed; `-`: stdin.",
    ),
]
_Form = Annotated[
    Literal["text", "json", "cyclonedx", "spdx"],
    Parameter(name="--format", help="A summary with the packages; all of it; CycloneDX 1.7; SPDX 2.3."),
]


def extract(
    target: _Target = None,
    /,
    *,
    log: _Log = None,
    form: _Form = "text",
    json: Json = False,
    output: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write to a new file instead of stdout.")
    ] = None,
    name: Annotated[str | None, Parameter(help="What to call it in the answer instead.")] = None,
    arch: Annotated[
        str | None, Parameter(help="Machine, of those that an image is for: `aarch64`. Default: this one's.")
    ] = None,
    context: Injected,
) -> None:
    """Show what is inside an image, an archive, an Apptainer file, a virtual environment or a folder.

    Native and Python packages with what they require, interpreters, symbols, layers. Nothing of it is run.
    """
    form = "json" if json else form
    with _ending():
        if log is not None and target is None:
            found = extract_log(log, name=name)
        elif target is not None and log is None:
            found = look_into(target, context.config, arch=arch, name=name)
        else:
            raise RequestError(
                "There must be one thing to look into.",
                hint="Give a TARGET or --log FILE: djed extract --help",
            )
    if output is None:
        _show(found, form, context)
    else:
        _write(found, form, output)
        context.console.note(f"Wrote what is in {found.target} to {output}")


@contextmanager
def _ending() -> Iterator[None]:
    """What was unpacked is removed when we are told to end, too, and not only on Ctrl-C."""

    def end(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(found: "Contents", form: str, context: "Context") -> None:
    if form == "text":
        from djed.cli.render.contents import contents_lines

        context.console.lines(contents_lines(found, width=context.console.width))
    else:
        context.console.json(_document(found, form))


def _write(found: "Contents", form: str, output: Path) -> None:
    import json

    from djed.cli.render.contents import contents_lines
    from djed.cli.render.text import neutralise, plain

    try:
        with output.open("w", encoding="utf-8") as file:
            if form == "text":
                for line in contents_lines(found, width=None):
                    file.write("".join(neutralise(plain(part)) for part in line).rstrip() + "\n")
            else:
                file.write(json.dumps(_document(found, form), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise DjedError(f"{output} cannot be written: {error.strerror}.") from error


def _document(found: "Contents", form: str) -> dict[str, Any]:
    if form == "json":
        from djed.cli.render.shapes import contents

        return contents(found)
    from djed.observe.sbom.cyclonedx import cyclonedx
    from djed.observe.sbom.parts import moment
    from djed.observe.sbom.spdx import spdx

    write = cyclonedx if form == "cyclonedx" else spdx
    return write(found, created=moment(found, os.environ))
