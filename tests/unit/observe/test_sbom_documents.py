"""CycloneDX and SPDX documents: complete, and the same bytes each time; that they are valid is tests/contract/test_sbom_schemas.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from djed.errors import ConfigError
from djed.observe.sbom.cyclonedx import cyclonedx
from djed.observe.sbom.parts import expression, moment
from djed.observe.sbom.spdx import spdx
from tests.support.contents import DIGEST, IMAGE, MADE


def component(document: dict[str, Any], name: str, number: int = 0) -> dict[str, Any]:
    found: list[dict[str, Any]] = [item for item in document["components"] if item["name"] == name]
    return found[number]


@pytest.mark.parametrize("write", [cyclonedx, spdx])
def test_same_contents_same_bytes_other_contents_another_document(write: Any) -> None:
    assert json.dumps(write(IMAGE, created=MADE)) == json.dumps(write(IMAGE, created=MADE))
    other, again = write(replace(IMAGE, digest="sha256:" + "ef" * 32)), write(IMAGE)
    key = "serialNumber" if write is cyclonedx else "documentNamespace"
    assert other[key] != again[key]
    without = write(replace(IMAGE, digest=None))
    assert without[key] != write(replace(IMAGE, digest=None, native=()))[key]


def test_time_is_that_of_the_caller_or_of_the_image() -> None:
    assert moment(IMAGE, {}) == MADE
    assert moment(IMAGE, {"SOURCE_DATE_EPOCH": "86400"}) == "1970-01-02T00:00:00Z"
    assert moment(replace(IMAGE, config={}), {}) is None
    for odd in ("yesterday", 7, "0001-01-01T00:00:00+23:00", "2024-13-01T00:00:00Z"):
        assert moment(replace(IMAGE, config={"created": odd}), {}) is None
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH is 'now'"):
        moment(IMAGE, {"SOURCE_DATE_EPOCH": "now"})


def test_licence_is_an_expression_only_where_spdx_knows_it() -> None:
    assert expression("mit or apache-2.0") == "MIT OR Apache-2.0"
    assert expression("GPL-2.0-or-later WITH Classpath-exception-2.0")
    for other in (None, "", "BSD", "GPL-3+", "LicenseRef-Mine", "MIT AND", "(" * 5000, "MIT\n" * 400):
        assert expression(other) is None


# --- CycloneDX -----------------------------------------------------------------------------------------------------------------------


def test_cyclonedx_holds_all_there_is() -> None:
    document = cyclonedx(IMAGE, created=MADE)
    assert [item["type"] for item in document["components"]] == [
        "operating-system", *["application"] * 2, *["library"] * 8, "file",
    ]  # fmt: skip
    root = document["metadata"]["component"]
    assert (root["type"], root["version"]) == ("container", DIGEST)
    assert root["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    properties = {item["name"]: item["value"] for item in root["properties"]}
    assert properties["djed:layer:0:digest"] == "sha256:" + "01" * 32
    assert properties["djed:symbols:/usr/lib/libc.so.6"] == "GLIBC_2.2.5 GLIBC_2.36"
    assert properties["djed:cuda:/usr/local/cuda/version.json"] == "12.4.1"
    assert document["compositions"][0]["aggregate"] == "incomplete"
    assert component(document, "/opt/app.py")["hashes"][0]["content"] == "cd" * 32
    assert (
        component(document, "bash")["purl"]
        == "pkg:deb/debian/bash@5.2.15-2%2Bb13?arch=amd64&distro=debian-12"
    )


def test_cyclonedx_has_every_edge_and_unique_references() -> None:
    document = cyclonedx(IMAGE)
    refs = [item["bom-ref"] for item in document["components"]]
    assert len(set(refs)) == len(refs)
    required = {item["ref"]: set(item.get("dependsOn", ())) for item in document["dependencies"]}
    bash, flask = component(document, "bash")["bom-ref"], component(document, "Flask")["bom-ref"]
    assert required[bash] == {component(document, "libc6", number)["bom-ref"] for number in (0, 1)}
    assert required[flask] == {component(document, "Werkzeug")["bom-ref"]}
    assert required["contents"] == {ref for ref in refs if not ref.startswith("file:")}


def test_cyclonedx_licences() -> None:
    document = cyclonedx(IMAGE)
    assert component(document, "six")["licenses"] == [{"expression": "MIT", "acknowledgement": "declared"}]
    assert component(document, "bash")["licenses"][0]["license"]["name"] == "GPL-3+"
    own = component(document, "Werkzeug")["licenses"][0]["license"]
    assert (own["name"], own["text"]) == ("Do what", {"content": "Do what\nyou like."})


# --- SPDX ----------------------------------------------------------------------------------------------------------------------------


def test_spdx_holds_packages_edges_and_licences() -> None:
    document = spdx(IMAGE, created=MADE)
    packages = {item["SPDXID"]: item for item in document["packages"]}
    assert len(packages) == 1 + 1 + 2 + 8
    edges = {
        (packages[item["spdxElementId"]]["name"], packages[item["relatedSpdxElement"]]["name"])
        for item in document["relationships"]
        if item["relationshipType"] == "DEPENDS_ON"
    }
    assert edges == {("bash", "libc6"), ("libstdc++6", "libc6"), ("Flask", "Werkzeug")}
    declared = {item["name"]: item["licenseDeclared"] for item in document["packages"]}
    assert declared["Flask"] == "BSD-3-Clause"
    texts = {item["licenseId"]: item["extractedText"] for item in document["hasExtractedLicensingInfos"]}
    assert texts[declared["bash"]] == "GPL-3+"
    assert texts[declared["Werkzeug"]] == "Do what\nyou like."
    assert packages["SPDXRef-Contents"]["checksums"][0]["checksumValue"] == "ab" * 32


def test_spdx_without_a_time_says_1970() -> None:
    assert spdx(IMAGE)["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
