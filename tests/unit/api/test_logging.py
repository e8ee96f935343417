"""Lines of the log: one for each entry, whatever the entry holds."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.api.logging import configure
from djed.config import Config

Log = Callable[[str], io.StringIO]
logger = logging.getLogger("djed.test")


@pytest.fixture(scope="module")
def log() -> Iterator[Log]:
    """Makes the root logger write in a form; what it was comes back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level

    def begin(form: str, least: str = "info") -> io.StringIO:
        stream = io.StringIO()
        configure(replace(Config(), log_format=form, log_level=least), stream)
        return stream

    yield begin
    root.handlers[:] = before
    root.setLevel(level)


def test_text_tells_when_how_grave_who_and_what(log: Log) -> None:
    stream = log("text")
    logger.warning("attempt %s is lost", "a-1", extra={"inspection": "abc", "note": "two words", "n": 3})
    time, rest = stream.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'warning djed.test: attempt a-1 is lost inspection=abc note="two words" n=3\n'


def test_json_holds_the_same(log: Log) -> None:
    stream = log("json")
    logger.info("hello", extra={"inspection": "abc", "ms": 1.5, "token": None, "path": object})
    entry = json.loads(stream.getvalue())
    assert entry["event"] == "hello"
    assert entry["level"] == "info"
    assert entry["logger"] == "djed.test"
    assert (entry["inspection"], entry["ms"], entry["token"]) == ("abc", 1.5, None)
    assert entry["path"] == "<class 'object'>"


def test_the_level_is_that_of_the_settings_and_libraries_are_silent(log: Log) -> None:
    stream = log("text")
    logger.debug("no")
    for name in ("httpcore2.http11", "uvicorn.access"):
        logging.getLogger(name).info("Authorization: Bearer x")
    assert not stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.text(max_size=50), key=st.sampled_from(["inspection", "note"]))
def test_nothing_makes_two_lines_of_one(log: Log, form: str, text: str, key: str) -> None:
    stream = log(form)
    logger.info("%s", text, extra={key: text})
    written = stream.getvalue()
    assert written.endswith("\n")
    assert len(written.splitlines()) == 1
    assert written[:-1].isprintable() or form == "text"
    assert "\x1b" not in written


def test_a_forged_line_of_a_traceback_is_seen_to_be_one(log: Log) -> None:
    stream = log("text")
    try:
        int("x\r2026-11-21T00:00:00Z info djed.access: forged\x1b[2J")
    except ValueError:
        logger.exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert "failed" in first
    assert "forged" in rest[-1]
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in stream.getvalue()


def test_long_values_are_cut(log: Log) -> None:
    for form in ("text", "json"):
        stream = log(form)
        logger.info("x" * 10**6, extra={"note": "y" * 10**6})
        assert len(stream.getvalue()) < 10_000
