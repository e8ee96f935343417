"""Nouns to JSON and back, whatever is in them."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djed.model import (
    access,
    artifact,
    hardware,
    inspection,
    job,
    lock,
    observation,
    preview,
    request,
    result,
    summary,
    webhook,
)
from djed.model.codec import decode, encode

MODULES = (
    access, artifact, hardware, inspection, job, lock, observation, preview, request, result, summary, webhook,
)  # fmt: skip
NOUNS = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind)
    and isinstance(kind, type)
    and kind.__module__ == module.__name__
    and kind is not summary.Page  # of any noun: who reads one knows of which
]

JSON_VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=3),
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
    Any: JSON_VALUES,
}


def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Anything that a field of that type may hold; a requirement within a requirement only once."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(
            hint, **{item.name: values(hints[item.name], depth + 1) for item in dataclasses.fields(hint)}
        )
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        return st.one_of(*(values(item, depth) for item in arguments))
    if origin is tuple:
        return st.just(()) if depth > 3 else st.lists(values(arguments[0], depth), max_size=2).map(tuple)
    assert issubclass(origin, Mapping)
    return st.dictionaries(st.text(max_size=3), values(arguments[1], depth), max_size=2)


@pytest.mark.parametrize("kind", NOUNS, ids=lambda kind: kind.__name__)
def test_every_noun_comes_back_as_it_was(kind: type[Any]) -> None:
    @settings(max_examples=5, suppress_health_check=list(HealthCheck))
    @given(values(kind))
    def comes_back(value: Any) -> None:
        assert decode(kind, json.loads(json.dumps(encode(value)))) == value

    comes_back()


def test_every_noun_of_the_model_is_tried() -> None:
    names = {kind.__name__ for kind in NOUNS}
    assert {"Request", "Inspection", "Job", "Result", "Lock", "Artifact", "Node", "Event", "Failure"} <= names


def test_defaults_are_left_out_so_that_a_new_field_changes_no_digest() -> None:
    assert encode(request.Request()) == {}
    assert encode(request.Request(run=request.Run(repeat=2))) == {"run": {"repeat": 2}}


def test_what_a_newer_djed_wrote_beside_is_ignored() -> None:
    assert decode(request.Request, {"name": "n", "from_the_future": 1}) == request.Request(name="n")


def test_a_whole_number_in_a_float_comes_back_as_a_float() -> None:
    found = decode(job.Limits, {"timeout": 5})
    assert isinstance(found.timeout, float)


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: None])
def test_what_has_no_json_form_is_a_bug(value: object) -> None:
    with pytest.raises(TypeError):
        encode({"key": value})
