"""What Prometheus is told: what is now, read from the store when it asks; what workers counted; and what this process was asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from djed import __version__
from djed.errors import MissingPartError
from djed.store import nodes, webhooks, workers
from djed.store.schema import UNFINISHED, artifacts, inspections, jobs
from djed.store.service_schema import namespaces
from djed.worker.counters import MEASURES as WORKER
from djed.worker.counters import Counters, Measure

if TYPE_CHECKING:
    from djed.config import Config
    from djed.store.store import Store

__all__ = ["API", "LIVE", "expose", "reference"]

Value = tuple[Measure, tuple[str, ...], Sequence[float]]
"""Measure, values of its labels, and its value; a histogram's counts by bucket and its sum."""


def _gauge(name: str, help_: str, *labels: str) -> Measure:
    return Measure(name=name, kind="gauge", help=help_, labels=labels)


def _by_name(*measures: Measure) -> Mapping[str, Measure]:
    return {measure.name: measure for measure in measures}


LIVE = _by_name(
    _gauge("djed_info", "The version of the server; always 1.", "version"),
    _gauge("amun_api_info", "The version of Amun's API that is answered; always 1.", "version"),
    _gauge("djed_inspections", "Inspections that are not final, by state.", "state"),
    _gauge(
        "djed_queue_age_seconds", "Age of the oldest inspection that no worker took up yet; 0 without one."
    ),
    _gauge("djed_jobs", "Jobs that wait for a node (queued) or run (active).", "state"),
    _gauge("djed_workers", "Workers that were heard of lately."),
    _gauge("djed_nodes", "Nodes of which their workers told lately."),
    _gauge(
        "djed_store_bytes",
        "What is kept: the database, results and uploads, artifacts of all machines.",
        "part",
    ),
    _gauge(
        "djed_webhooks",
        "Webhooks that are told of events (ok), that fail for now (failing), or that asked to be told nothing more (gone).",
        "state",
    ),
    _gauge(
        "djed_webhook_backlog_seconds",
        "Age of the oldest event that is still to be told to a webhook; 0 without one.",
    ),
)
"""What is read from the store when it is asked for."""

API = _by_name(
    Measure(
        name="djed_api_requests_total",
        kind="counter",
        help="Calls that this process answered, by method, template of the route, and status (0: the caller left).",
        labels=("method", "route", "status"),
    ),
    Measure(
        name="djed_api_request_seconds",
        kind="histogram",
        help="From a call to the beginning of its answer.",
        labels=("method", "route"),
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    ),
)
"""What the server's process counts; it begins anew with it."""


def expose(store: Store, config: Config, counters: Counters, *, accept: str = "") -> tuple[bytes, str]:
    """All metrics in the form that ``accept`` asks for (OpenMetrics or Prometheus text), and its media type.

    Raises ``StoreError``, ``MissingPartError`` without prometheus-client.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise MissingPartError(
            "The package prometheus-client is not installed.", hint="pip install 'djed[server]'"
        ) from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector([*_live(store, config), *counters.items()]))
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type


def reference() -> str:
    """The page about them, as Markdown."""
    lines = []
    for title, measures in (("Now", LIVE), ("What workers did", WORKER), ("What the API was asked", API)):
        lines += [f"## {title}", "", "| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
        for measure in measures.values():
            labels = ", ".join(f"`{label}`" for label in measure.labels)
            lines.append(f"| `{measure.name}` | {measure.kind} | {labels} | {measure.help} |")
        lines.append("")
    return "\n".join(lines[:-1])


class _Collector:
    """Values in the terms of prometheus-client; each metric is told of, though nothing was counted yet."""

    def __init__(self, values: Iterable[Value]) -> None:
        self._values: dict[str, list[Value]] = {}
        for value in values:
            self._values.setdefault(value[0].name, []).append(value)

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for measure in (*LIVE.values(), *WORKER.values(), *API.values()):
            values = self._values.get(measure.name, ())
            if measure.kind == "histogram":
                histogram = HistogramMetricFamily(measure.name, measure.help, labels=measure.labels)
                for _, labels, cell in values:
                    bounds = [*map(str, measure.buckets), "+Inf"]
                    counts = zip(bounds, accumulate(cell[:-1]), strict=True)
                    histogram.add_metric(labels, buckets=list(counts), sum_value=cell[-1])
                yield histogram
                continue
            kind = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
            family = kind(measure.name, measure.help, labels=measure.labels)
            for _, labels, cell in values:
                family.add_metric(labels, cell[0])
            yield family


def _live(store: Store, config: Config) -> Iterator[Value]:
    from djed.compat.amun.errors import API_VERSION

    now = time.time()
    since = now - 3 * config.lease
    with store.database.read() as connection:
        yield _value("djed_info", 1, __version__)
        yield _value("amun_api_info", 1, API_VERSION)
        yield from _queue(connection, now)
        yield _value("djed_workers", workers.alive(connection, since))
        yield _value("djed_nodes", len(nodes.alive(connection, since)))
        yield _value("djed_store_bytes", _sum(connection, namespaces.c.storage), "results")
        yield _value("djed_store_bytes", _sum(connection, artifacts.c.size), "artifacts")
        trouble = webhooks.trouble(connection)
        counted = workers.counted(connection)
    yield _value("djed_webhooks", trouble.active - trouble.failing, "ok")
    yield _value("djed_webhooks", trouble.failing, "failing")
    yield _value("djed_webhooks", trouble.gone, "gone")
    yield _value("djed_webhook_backlog_seconds", _age(trouble.untold, now))
    yield _value("djed_store_bytes", store.database.size(), "database")
    yield from Counters.sum(counted).items()


def _queue(connection: sa.Connection, now: float) -> Iterator[Value]:
    states = dict.fromkeys(("queued", "locking", "building", "running"), 0)
    query = sa.select(inspections.c.state, sa.func.count()).where(UNFINISHED).group_by(inspections.c.state)
    for state, count in connection.execute(query):
        states[state] = count
    for state, count in states.items():
        yield _value("djed_inspections", count, state)
    oldest = sa.select(sa.func.min(inspections.c.created_at)).where(
        UNFINISHED, inspections.c.state == "queued"
    )
    yield _value("djed_queue_age_seconds", _age(connection.execute(oldest).scalar(), now))
    for state in ("queued", "active"):
        waiting = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.state == state)
        yield _value("djed_jobs", connection.execute(waiting).scalar_one(), state)


def _sum(connection: sa.Connection, column: sa.Column[Any]) -> float:
    return float(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(column), 0))).scalar_one())


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)


def _value(name: str, value: float, *labels: str) -> Value:
    return LIVE[name], labels, (float(value),)
