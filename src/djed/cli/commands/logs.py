"""``djed logs``: what the jobs of an inspection wrote."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from djed.cli import follow, outcome
from djed.cli.parameters import Count, Injected, Reference
from djed.cli.render.text import bold, dim, log_lines
from djed.cli.tail import Tail
from djed.errors import NotFoundError, RequestError
from djed.model.inspection import FINAL, JobRecord

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.model.inspection import Inspection
    from djed.service import Service

__all__ = ["logs"]


def logs(
    reference: Reference,
    /,
    *,
    following: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Work on it and show more until it ends.")
    ] = False,
    job: Annotated[
        str | None, Parameter(metavar="ROLE", help="Only this job: lock, build, wheel:NAME, run:0.")
    ] = None,
    run: Annotated[Count | None, Parameter(metavar="N", help="Only this run, from 0.")] = None,
    stdout: Annotated[bool, Parameter(help="Only standard output.")] = False,
    stderr: Annotated[bool, Parameter(help="Only standard error.")] = False,
    everything: Annotated[bool, Parameter(name="--all", help="All jobs, also lock and build.")] = False,
    context: Injected,
) -> int:
    """Show what the jobs of an inspection wrote.

    Without options: its runs, or the step that failed. With `-f` this command also works on the inspection, so that one that was
    left behind comes to its end.
    """
    if job is not None and run is not None:
        raise RequestError("--job and --run exclude each other.")
    role = job if run is None else f"run:{run}"
    streams = (
        ("stdout",)
        if stdout and not stderr
        else ("stderr",)
        if stderr and not stdout
        else ("stdout", "stderr")
    )
    with context.engine() as engine:
        item = engine.get(reference)
        if following and item.state not in FINAL:
            return _follow(engine, item, Tail(engine, context.console, streams, role), context.console)
        chosen = _choose(engine.jobs(item.id), role, everything=everything)
        for record in chosen:
            _print(engine, record, streams, context.console, titled=len(chosen) > 1)
        if not chosen:
            context.console.note("No job has started; more with ", bold(f"djed show {item.id}"))
        return follow.exit_code([item]) if following else 0


def _follow(engine: "Service", item: "Inspection", tail: Tail, console: "Console") -> int:
    if not follow.stream(engine, item, tail, console):
        return follow.INTERRUPTED
    final = [engine.get(item.id)]
    outcome.report(engine, final, console, json=False)
    return follow.exit_code(final)


def _choose(jobs: Sequence[JobRecord], role: str | None, *, everything: bool) -> Sequence[JobRecord]:
    if role is not None:
        chosen = [record for record in jobs if record.role == role]
        if not chosen:
            known = ", ".join(record.role for record in jobs) or "none yet"
            raise NotFoundError(f"It has no job {role!r}.", hint=f"Its jobs: {known}.")
        return chosen
    failed = [record for record in jobs if record.state == "failed"]
    return jobs if everything else failed or [record for record in jobs if record.kind == "run"] or jobs


def _print(
    engine: "Service", record: JobRecord, streams: tuple[str, ...], console: "Console", *, titled: bool
) -> None:
    if titled:
        console.note(dim("── "), bold(record.role), dim(f" {record.state}"))
    for stream in streams:
        data = engine.log(record.id, stream)
        if not console.shows:
            console.raw(data)
        elif data:
            console.lines([(line,) for line in log_lines(data.decode(errors="replace"))])
