"""CycloneDX and SPDX documents are valid by the schemas and validators of those who made the formats, whatever was found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from djed.model.contents import Contents, NativePackage, PythonPackage
from djed.observe.sbom.cyclonedx import cyclonedx
from djed.observe.sbom.spdx import spdx
from tests.support.contents import IMAGE, MADE


def cyclonedx_faults(document: dict[str, Any]) -> str | None:
    fault = JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(document))
    return None if fault is None else repr(fault)


def spdx_faults(document: dict[str, Any]) -> list[str]:
    parser = JsonLikeDictParser()  # type: ignore[no-untyped-call]
    parsed = parser.parse(json.loads(json.dumps(document)))
    return [message.validation_message for message in validate_full_spdx_document(parsed)]


@pytest.mark.parametrize("contents", [IMAGE, Contents(target="nothing", kind="root")], ids=["image", "empty"])
def test_documents_are_valid(contents: Contents) -> None:
    assert cyclonedx_faults(cyclonedx(contents, created=MADE)) is None
    assert spdx_faults(spdx(contents, created=MADE)) == []


def test_validators_find_faults() -> None:
    document = cyclonedx(IMAGE)
    assert cyclonedx_faults({**document, "components": [{"type": "library"}]})
    assert cyclonedx_faults({**document, "serialNumber": "7"})
    assert cyclonedx_faults({**document, "dependencies": [{"ref": "contents", "requires": []}]})
    other = spdx(replace(IMAGE, native=(), python=()))
    assert spdx_faults({**other, "packages": [{**other["packages"][0], "licenseDeclared": "NO SUCH"}]})
    assert spdx_faults({**other, "documentNamespace": "no address"})


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
packages = st.builds(
    NativePackage,
    kind=st.sampled_from(["deb", "rpm", "apk"]),
    name=texts,
    version=texts,
    arch=st.none() | texts,
    licence=st.none() | texts,
)
distributions = st.builds(PythonPackage, name=texts, version=texts, location=texts, licence=st.none() | texts)


@given(
    target=texts,
    native=st.lists(packages, max_size=3).map(tuple),
    python=st.lists(distributions, max_size=3).map(tuple),
    os_release=st.dictionaries(st.sampled_from(["ID", "VERSION_ID", "PRETTY_NAME"]), texts),
)
def test_documents_of_whatever_was_found_are_valid(
    target: str, native: Any, python: Any, os_release: dict[str, str]
) -> None:
    contents = Contents(target=target, kind="root", native=native, python=python, os_release=os_release)
    assert cyclonedx_faults(cyclonedx(contents)) is None
    assert spdx_faults(spdx(contents)) == []
