"""Artifacts by the beginning of their digest, and the list of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from djed.cli.artifacts import file_name, find_digest, next_steps
from djed.errors import ConflictError, NotFoundError, RequestError
from djed.model.summary import Page, StoredArtifact

A, B = "sha256:" + "abcd" + "0" * 60, "sha256:" + "abcd" + "1" * 60
LIST = (
    StoredArtifact(
        digest=A,
        kind="image",
        size=2**20,
        created_at=0.0,
        used_at=0.0,
        packages=3,
        inspections=2,
        inspection="app",
    ),
    StoredArtifact(digest=B, kind="venv", size=1, created_at=0.0, used_at=0.0),
)


@pytest.fixture
def shelf(engine: Any) -> Any:
    """The engine with two artifacts, a page for each."""

    def artifacts(*, limit: int = 100, after: str | None = None) -> Page[StoredArtifact]:
        at = int(after or 0)
        return Page(items=LIST[at : at + 1], next=str(at + 1) if at + 1 < len(LIST) else None)

    engine.artifacts = artifacts
    return engine


def test_the_beginning_of_a_digest_is_enough_where_it_is_the_only_one(shelf: Any) -> None:
    assert find_digest(shelf, "abcd0") == find_digest(shelf, "sha256:abcd0") == find_digest(shelf, A) == A
    with pytest.raises(ConflictError, match="2 artifacts begin with abcd"):
        find_digest(shelf, "abcd")
    with pytest.raises(NotFoundError):
        find_digest(shelf, "ffff")


@pytest.mark.parametrize("text", ["", "abc", "xyz0", "ABCD", "sha256:", "../etc", "a" * 65, "-x"])
def test_what_is_no_digest_is_refused(shelf: Any, text: str) -> None:
    with pytest.raises(RequestError, match="no digest"):
        find_digest(shelf, text)


def test_the_list_says_what_each_is_and_who_uses_it(djed: Callable[..., Any], shelf: Any) -> None:
    head, first, second = djed("artifacts").out.splitlines()
    assert head.split() == ["KIND", "DIGEST", "SIZE", "PACKAGES", "AGE", "USED", "BY"]
    assert first.split()[:5] == ["image", "abcd00000000", "1", "MiB", "3"]
    assert first.endswith("app and 1 other")
    assert second.split()[:3] == ["venv", "abcd11111111", "1"]
    assert [item["digest"] for item in json.loads(djed("artifacts", "--kind", "venv", "--json").out)] == [B]
    assert {len(item) for item in json.loads(djed("artifacts", "--json").out)} == {8}


def test_the_next_commands_can_be_typed_as_they_are() -> None:
    assert file_name("app", "image") == "app.oci.tar"
    assert next_steps("a b", "sif", A) == ["djed push abcd00000000 'a b.sif'", "apptainer run ./'a b.sif'"]
    assert next_steps("app", "archive", A)[1] == "tar -xzf app.tar.gz && ./environment/start"
