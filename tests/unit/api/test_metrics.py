"""The text for Prometheus, and that the page, the dashboard and the alerts speak of metrics that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from djed.api.metrics import API, LIVE, expose, reference
from djed.config import Config
from djed.store.store import Store
from djed.worker.counters import MEASURES, Counters, Tally
from tests.support import engine as support

ROOT = Path(__file__).parents[3]
ALL = {**LIVE, **MEASURES, **API}


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    store = Store(data)
    yield store
    store.close()


def samples(store: Store, counters: Counters) -> dict[tuple[str, tuple[str, ...]], float]:
    """Value by name and label values, of the text as Prometheus reads it."""
    content, _ = expose(store, Config(), counters)
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def test_an_empty_store_has_all_metrics(store: Store) -> None:
    content, media_type = expose(store, Config(), Counters(API))
    told = {family.name: family for family in text_string_to_metric_families(content.decode())}
    assert media_type.startswith("text/plain")
    assert told.keys() == {name.removesuffix("_total") for name in ALL}
    for name, measure in ALL.items():
        family = told[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (measure.kind, measure.help)


def test_what_is_in_the_store_is_told(store: Store) -> None:
    support.add(store, support.inspection(name="a"), support.inspection(name="b"))
    tally = Tally(store, "a worker")
    with store.change() as connection:
        tally.beat(connection)
    found = samples(store, Counters(API))
    assert found["djed_inspections", ("queued",)] == 2
    assert found["djed_inspections", ("running",)] == 0
    assert found["djed_queue_age_seconds", ()] > 0
    assert found["djed_workers", ()] == 1
    assert found["djed_store_bytes", ("database",)] > 0
    assert found["amun_api_info", ("0.10.6",)] == 1


def test_histograms_add_up(store: Store) -> None:
    counters = Counters(API)
    for seconds in (0.0005, 0.002, 99.0):
        counters.observe("djed_api_request_seconds", seconds, method="GET", route="/")
    found = samples(store, counters)
    name = "djed_api_request_seconds"
    assert found[f"{name}_bucket", ("0.001", "GET", "/")] == 1
    assert found[f"{name}_bucket", ("0.0025", "GET", "/")] == 2
    assert found[f"{name}_bucket", ("30.0", "GET", "/")] == 2
    assert found[f"{name}_bucket", ("+Inf", "GET", "/")] == found[f"{name}_count", ("GET", "/")] == 3
    assert found[f"{name}_sum", ("GET", "/")] == pytest.approx(99.0025)


def test_who_asks_for_openmetrics_gets_it(store: Store) -> None:
    content, media_type = expose(store, Config(), Counters(API), accept="application/openmetrics-text")
    assert media_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")


def test_the_page_is_current() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert reference() in page, "make docs"


def expressions() -> Iterator[str]:
    """What the dashboard and the alerts ask Prometheus."""
    dashboard = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    alerts = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yaml").read_text(encoding="utf-8"))
    for group in alerts["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_dashboard_and_alerts_ask_for_metrics_that_are_there() -> None:
    series = {name for name, measure in ALL.items() if measure.kind != "histogram"}
    histograms = [name for name, measure in ALL.items() if measure.kind == "histogram"]
    series |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    asked = {name for text in expressions() for name in re.findall(r"\b(?:djed|amun)_\w+", text)}
    assert asked <= series
    assert {"djed_queue_age_seconds", "djed_job_seconds_bucket", "djed_cache_total"} <= asked


def test_dashboard_and_alerts_select_by_labels_that_are_there() -> None:
    for text in expressions():
        for name, selector in re.findall(r"\b(djed_\w+)\{([^}]*)\}", text):
            measure = ALL[re.sub(r"_(bucket|count|sum)$", "", name)]
            asked = set(re.findall(r"(\w+)\s*[=!]", selector))
            assert asked <= {*measure.labels, "le", "job", "instance"}, text
