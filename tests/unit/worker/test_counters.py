"""What workers count: sums of buckets, through JSON and through other versions; and no sum falls when a worker goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.store import workers
from djed.store.store import Store
from djed.worker.counters import MEASURES, Counters, Tally


def values(counters: Counters) -> dict[tuple[str, ...], list[float]]:
    return {(measure.name, *labels): list(cell) for measure, labels, cell in counters.items()}


def test_a_duration_falls_into_the_first_bucket_that_holds_it() -> None:
    counters = Counters()
    for seconds in (0.0005, 0.001, 0.0011, 99.0):
        counters.observe("djed_transaction_seconds", seconds)
    [cell] = values(counters).values()
    assert cell[:2] == [2, 1]  # a bound belongs to its bucket
    assert cell[-2:] == [1, pytest.approx(99.0026)]
    assert len(cell) == len(MEASURES["djed_transaction_seconds"].buckets) + 2


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["run", "lock"]), st.floats(0, 1e6)), max_size=5), max_size=4)
)
def test_the_sum_of_what_was_told_is_what_was_counted(parts: list[list[tuple[str, float]]]) -> None:
    whole, texts = Counters(), []
    for part in parts:
        one = Counters()
        for kind, seconds in part:
            for counters in (one, whole):
                counters.add("djed_retries_total", kind=kind)
                counters.observe("djed_job_wait_seconds", seconds, kind=kind)
        texts.append(one.dump())
    summed = values(Counters.sum(texts))
    assert summed.keys() == values(whole).keys()
    for key, cell in values(whole).items():
        assert summed[key] == pytest.approx(cell)


@pytest.mark.parametrize(
    "foreign",
    [
        {"djed_of_tomorrow_total": [[[], [1.0]]]},
        {"djed_retries_total": [[["run", "more"], [1.0]]]},
        {"djed_retries_total": [[["run"], [1.0, 2.0]]]},
        {"djed_transaction_seconds": [[[], [1.0]]]},
    ],
)
def test_what_another_version_counts_in_another_way_is_left_out(foreign: object) -> None:
    assert not Counters.sum([json.dumps(foreign)]).items()


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    store = Store(data)
    yield store
    store.close()


def retries(store: Store) -> float:
    with store.database.read() as connection:
        return values(Counters.sum(workers.counted(connection)))[("djed_retries_total", "run")][0]


def count(tally: Tally, n: int) -> None:
    tally._counters.add("djed_retries_total", n, kind="run")


def test_what_a_worker_counted_stays_when_it_goes(store: Store) -> None:
    first, second = Tally(store, "first"), Tally(store, "second")
    for tally, n in ((first, 3), (second, 4)):
        with store.change() as connection:
            tally.beat(connection)
        count(tally, n)
        with store.change() as connection:
            tally.beat(connection)
    assert retries(store) == 7
    count(first, 1)
    with store.change() as connection:
        first.bury(connection, ["first"])
    assert retries(store) == 8
    with store.change() as connection:
        workers.fold(connection, ["second", "unknown"], lambda texts: Counters.sum(texts).dump())
        assert workers.alive(connection, 0.0) == 0
    assert retries(store) == 8


def test_who_was_taken_for_dead_begins_anew(store: Store) -> None:
    sleeper, other = Tally(store, "sleeper"), Tally(store, "other")
    with store.change() as connection:
        sleeper.beat(connection)
    count(sleeper, 5)
    with store.change() as connection:
        sleeper.beat(connection)
        other.beat(connection)
        other.bury_silent(connection, before=10**12)
        assert workers.alive(connection, 0.0) == 0
        sleeper.beat(connection)
        assert workers.alive(connection, 0.0) == 1
    count(sleeper, 1)
    with store.change() as connection:
        sleeper.beat(connection)
    assert retries(store) == 6


def test_changes_of_the_store_are_timed(store: Store) -> None:
    tally = Tally(store, "timed")
    with store.change():
        pass
    with store.change() as connection:
        tally.beat(connection)
    with store.database.read() as connection:
        assert not workers.counted(connection)  # the first call only tells of us
    assert [measure.name for measure, *_ in tally._counters.items()] == ["djed_transaction_seconds"]


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_names_and_buckets_are_as_prometheus_wants_them(measure: object) -> None:
    from djed.worker.counters import Measure

    assert isinstance(measure, Measure)
    assert measure.name.startswith("djed_")
    assert measure.name.endswith("_total" if measure.kind == "counter" else "_seconds")
    assert list(measure.buckets) == sorted(set(measure.buckets))
    assert bool(measure.buckets) == (measure.kind == "histogram")
    assert measure.help.endswith(".")
