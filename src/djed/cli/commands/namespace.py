"""``djed namespace``: groups of users, their shares and their bounds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, TypeVar

from cyclopts import App, Parameter

from djed.cli.administration import administering
from djed.cli.parameters import Count, Injected, Json
from djed.cli.render.table import Column, table
from djed.cli.render.text import Part, bold, warn
from djed.errors import RequestError
from djed.model.access import Namespace
from djed.model.quantity import format_duration, format_size, parse_count, parse_duration, parse_size

__all__ = ["app"]

T = TypeVar("T", bound=float)

app = App(
    name="namespace",
    help="List, set and remove namespaces: their shares, quotas and retention.",
    help_formatter="plain",
)

_NO_BOUND = "none"


def _option(help_: str, metavar: str = "N") -> Parameter:
    return Parameter(help=help_, metavar=metavar)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class _Changes:
    """What is to be different; ``None`` stays as it is."""

    weight: Annotated[
        float | None,
        _option("Share of the hardware when there is not enough: twice the weight, twice the share."),
    ] = None
    priority: Annotated[Count | None, _option("Highest priority that its requests may ask for.")] = None
    queued: Annotated[str | None, _option("Inspections in work at once; further ones wait.")] = None
    running: Annotated[str | None, _option("Jobs that run at once.")] = None
    cpu: Annotated[str | None, _option("CPUs that its jobs hold at once.")] = None
    storage: Annotated[str | None, _option("Results and uploads, as 20Gi.", "SIZE")] = None
    keep_age: Annotated[str | None, _option("How long final inspections are kept, as 90d.", "TIME")] = None
    keep_count: Annotated[str | None, _option("How many final inspections are kept.")] = None
    keep_size: Annotated[
        str | None, _option("Results of final inspections that are kept, as 20Gi.", "SIZE")
    ] = None


@app.command(name="list")
def list_namespaces(*, json: Json = False, context: Injected) -> None:
    """List the namespaces, what each may hold at once and what is kept of it."""
    with administering(context) as admin:
        found = admin.namespaces()
    console = context.console
    if json:
        console.json([asdict(item) for item in found])
        return
    titles = (
        "WEIGHT",
        "PRIORITY",
        "QUEUED",
        "RUNNING",
        "CPU",
        "STORAGE",
        "KEEP AGE",
        "KEEP COUNT",
        "KEEP SIZE",
    )
    columns = [Column(title="NAME", least=10), *(Column(title=title, right=True) for title in titles)]
    console.lines(table(columns, [_row(item) for item in found], width=console.width))


@app.command(name="set")
def set_namespace(
    name: Annotated[str, Parameter(name="NAME", help="The namespace; it is made where it is not there.")],
    /,
    *,
    changes: _Changes | None = None,
    json: Json = False,
    context: Injected,
) -> None:
    """Make a namespace or change it. What is not named stays; `none` takes a bound away."""
    with administering(context) as admin:
        before = {item.name: item for item in admin.namespaces()}.get(name, Namespace(name=name))
        after = admin.set_namespace(_changed(before, changes or _Changes()))
    if json:
        context.console.json(asdict(after))
    else:
        context.console.note("Set ", bold(name))


@app.command(name="rm")
def remove_namespace(
    name: Annotated[str, Parameter(name="NAME", help="The namespace.")], *, context: Injected
) -> None:
    """Remove an empty namespace and its tokens."""
    with administering(context) as admin:
        admin.remove_namespace(name)
    context.console.note(warn("Removed"), " ", bold(name))


def _changed(before: Namespace, changes: _Changes) -> Namespace:
    quota, retention = before.quota, before.retention
    return replace(
        before,
        weight=before.weight if changes.weight is None else changes.weight,
        priority=before.priority if changes.priority is None else changes.priority,
        quota=replace(
            quota,
            queued=_bound("--queued", changes.queued, _whole, quota.queued),
            running=_bound("--running", changes.running, _whole, quota.running),
            cpu=_bound("--cpu", changes.cpu, parse_count, quota.cpu),
            storage=_bound("--storage", changes.storage, parse_size, quota.storage),
        ),
        retention=replace(
            retention,
            age=_bound("--keep-age", changes.keep_age, parse_duration, retention.age),
            count=_bound("--keep-count", changes.keep_count, _whole, retention.count),
            size=_bound("--keep-size", changes.keep_size, parse_size, retention.size),
        ),
    )


def _bound(option: str, text: str | None, read: Callable[[str], T], before: T | None) -> T | None:
    """The bound that an option says, or the one from before. Raises ``RequestError``."""
    if text is None or text == _NO_BOUND:
        return before if text is None else None
    try:
        return read(text)
    except ValueError as error:
        raise RequestError(f"{option}: {error}.", hint=f"`{_NO_BOUND}` takes the bound away.") from error


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _row(item: Namespace) -> list[Part]:
    quota, retention = item.quota, item.retention
    return [
        bold(item.name),
        f"{item.weight:g}",
        str(item.priority),
        _text(quota.queued),
        _text(quota.running),
        _text(quota.cpu),
        _text(quota.storage, format_size),
        _text(retention.age, format_duration),
        _text(retention.count),
        _text(retention.size, format_size),
    ]


def _text(bound: float | None, form: Callable[[float], str] = "{:g}".format) -> str:
    return "-" if bound is None else form(bound)
