"""YAML, JSON and TOML to plain values with lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.config import Config
from djed.errors import RequestError
from djed.intake import Submission, read_mapping
from djed.intake.document import parse
from djed.intake.faults import quote

TREE = {"name": "a", "environment": {"packages": ["b", "c"]}, "run": {"command": ["true"], "repeat": 2}}
TEXTS = {
    "a.yaml": "name: a\nenvironment:\n  packages:\n    - b\n    - c\nrun: {command: ['true'],\n  repeat: 2}\n",
    "a.json": '{"name": "a",\n"environment": {"packages": [\n"b",\n"c"]},\n"run": {"command": ["true"],\n"repeat": 2}}',
    "a.toml": 'name = "a"\n[environment]\npackages = ["b", "c"]\n\n[run]\ncommand = ["true"]\nrepeat = 2\n',
}
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab.\"' é", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", TEXTS)
def test_the_three_notations_say_the_same(name: str) -> None:
    assert parse(name, TEXTS[name].encode()).data == TREE


@pytest.mark.parametrize(("name", "line"), [("a.yaml", 7), ("a.json", 6), ("a.toml", 7)])
def test_a_key_has_its_line(name: str, line: int) -> None:
    assert parse(name, TEXTS[name].encode()).lines()["run", "repeat"] == line


@pytest.mark.parametrize(("name", "line"), [("a.yaml", 5), ("a.json", 4)])
def test_an_item_has_its_line(name: str, line: int) -> None:
    assert parse(name, TEXTS[name].encode()).lines()["environment", "packages", 1] == line


def test_a_table_in_a_toml_list_has_its_line() -> None:
    lines = parse("a.toml", b'[[a.b]]\nc = 1\n[[a.b]]\n"d e" = 2\n').lines()
    assert lines["a", "b", 1, "d e"] == 4


def test_yaml_dates_and_norwegians_are_text() -> None:
    assert parse("a.yml", b"a: 2026-11-01\nb: no\nc: 1_0\nd: 1:30\ne: '1'").data == {
        "a": "2026-11-01", "b": "no", "c": "1_0", "d": "1:30", "e": "1",
    }  # fmt: skip


def test_yaml_numbers_and_words_are_read() -> None:
    text = b"a: 12\nb: -1.5\nc: true\nd: ~\ne:\nf: 1e3\ng: 123456789012345678901234567890"
    assert parse("a.yaml", text).data == {
        "a": 12, "b": -1.5, "c": True, "d": None, "e": None, "f": 1000.0, "g": "123456789012345678901234567890",
    }  # fmt: skip


def test_the_schema_that_an_editor_notes_is_no_fault(read_text: Callable[[str, str], Submission]) -> None:
    text = '{"$schema": "inspection.schema.json", "name": "a"}'
    assert read_text("a.json", text).request.name == "a"


def test_toml_dates_become_text() -> None:
    assert parse("a.toml", b"a = 2026-11-01\nb = 2026-11-01T10:00:00Z\n").data == {
        "a": "2026-11-01",
        "b": "2026-11-01T10:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.yaml", "a: &x [1]\nb: *x\n", 'a.yaml:2: aliases ("*x")'),
        ("a.yaml", "a: !!python/object/apply:os.system [ls]\n", "a.yaml:1: tags"),
        ("a.yaml", "a: !!binary aGk=\n", "a.yaml:1: tags"),
        ("a.yaml", "a: 1\na: 2\n", 'a.yaml:2: the key "a" is there twice'),
        ("a.yaml", "[a]: 1\n", "a.yaml:1: a key must be text"),
        ("a.yaml", "a: 1\n---\nb: 2\n", "a.yaml:2: one file holds one request"),
        ("a.yaml", "a: [1\n", "this is not YAML"),
        ("a.yaml", "a: \x07\n", "this is not YAML"),
        ("a.yaml", "[" * 70, "nested deeper than 64"),
        ("a.yaml", "- a\n", "a request is a mapping"),
        ("a.yaml", "# nothing\n", "the file says nothing"),
        ("a.json", '{"a": 1,\n"a": 2}', 'the key "a" is there twice'),
        ("a.json", '{"a": NaN}', "NaN is not a number"),
        ("a.json", '{"a": 1e999}', "inf is not a number"),
        ("a.json", '{"a": ' + "9" * 5000 + "}", "too many digits"),
        ("a.json", '{"a":\n1,}', "a.json:2: this is not JSON"),
        ("a.json", '{"a": "\\ud800"}', "not valid Unicode"),
        ("a.json", '{"a": ' + "[" * 100_000, "nested deeper than 64"),
        ("a.json", '{"a": ' + "[" * 70 + "]" * 70 + "}", "nested deeper than 64"),
        ("a.toml", "a = 1\na = 2\n", "a.toml:2: this is not TOML"),
        ("a.toml", "a = " + "[" * 100_000, "nested deeper than 64"),
        ("a.toml", ".".join(["a"] * 300_000) + " = 1", "a key has too many dots"),
        ("a.toml", "x = {" + " . ".join(['"a b"'] * 100_000) + " = 1}", "a.toml:1: a key has too many dots"),
        ("a.toml", "a = 2026-02-30\n", "this is not TOML"),
        ("a.toml", "a = " + "9" * 5000, "this is not TOML"),
    ],
)
def test_a_hostile_document_is_one_sentence(name: str, text: str, sentence: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(name, text.encode())
    assert sentence in caught.value.message


def test_a_mapping_of_foreign_values_is_refused(config: Config) -> None:
    for data in ({"a": object()}, {1: 2}, {"a": b"x"}, {"a": float("inf")}):
        with pytest.raises(RequestError):
            read_mapping(data, config=config)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.toml"])
@given(content=st.binary(max_size=60) | st.text("{}[]:,-\"'=.#&*!\n ab1\\|>%@", max_size=40).map(str.encode))
def test_random_bytes_are_read_or_refused(name: str, content: bytes) -> None:
    with suppress(RequestError):
        document = parse(name, content)
        json.dumps(document.data)
        assert all(line >= 1 for line in document.lines().values())


@given(st.dictionaries(st.text("ab.\"' é", max_size=3), JSON_VALUES, max_size=4))
def test_json_comes_back_and_every_place_has_a_line(data: dict[str, Any]) -> None:
    document = parse("a.json", json.dumps(data, indent=1).encode())
    assert document.data == data
    assert _places(data, ()) <= document.lines().keys()


@given(st.dictionaries(st.text("ab.\"' é", max_size=3), JSON_VALUES, max_size=4))
def test_json_without_escapes_is_yaml(data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=True).encode()
    if b"\\u" not in text:
        document = parse("a.yaml", text)
        assert document.data == data
        assert _places(data, ()) <= document.lines().keys()


def test_the_message_names_file_line_path_and_how_many_more(
    read_text: Callable[[str, str], Submission],
) -> None:
    with pytest.raises(RequestError) as caught:
        read_text("a.yaml", "name: b\nrun:\n  command: [x]\n  repeat: 0\n  warmup: -1\n  timeout: x\n")
    assert caught.value.message == "a.yaml:4: run.repeat: 0 is not between 1 and 1000 (and 2 more)."
    assert [fault.line for fault in caught.value.faults] == [4, 5, 6]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("é", '"é"'),
        ("a\nb", '"a\\nb"'),
        ("\u202ea", '"\\u202ea"'),
        ("x" * 500, '"' + "x" * 75 + ' …"'),
        ("\x7f", '"\\u007f"'),
        (b"x", "b'x'"),
    ],
)
def test_a_value_is_quoted_on_one_line_in_plain_sight(value: object, shown: str) -> None:
    assert quote(value) == shown


def test_no_message_is_longer_than_a_sentence(read_text: Callable[[str, str], Submission]) -> None:
    with pytest.raises(RequestError) as caught:
        read_text("a\n.yaml", f"build: {{timeout: {'x' * 9000}}}\n? {'y' * 1000}\n: 1\n")
    assert all(len(fault.message) <= 500 for fault in caught.value.faults)
    assert caught.value.message.startswith('"a\\n.yaml":1: build.timeout: ')
    assert "\n" not in caught.value.message


def _places(value: Any, place: tuple[str | int, ...]) -> set[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place}.difference({()}).union(*(_places(item, (*place, key)) for key, item in items))
