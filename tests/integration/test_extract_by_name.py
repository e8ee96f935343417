"""Images by their name, out of a registry, by the real skopeo."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from djed.cli.main import main
from tests.support import roots
from tests.support.registry import registry

pytestmark = pytest.mark.needs("skopeo", "registry")


def test_image_is_fetched_once_and_found_by_its_digest_afterwards(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(name: str, code: int = 0) -> Any:
        settings = ["--set", f"registries.insecure={host}"]
        assert main(["extract", "--json", name, *settings]) == code
        out, err = capsys.readouterr()
        return json.loads(out) if code == 0 else err

    folder = roots.layout(roots.root(tmp_path / "root"))
    with registry(tmp_path) as host:
        target = f"docker://{host}/app:1"
        push = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{folder}", target]
        subprocess.run(push, check=True, capture_output=True)
        found = extract(f"{host}/app:1")
        assert [item["name"] for item in found["native"]] == ["bash", "libc6"]
        assert found["target"] == f"{host}/app:1"
        ask = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", target]
        told = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        assert found["digest"] == told
        by_digest = extract(f"{host}/app@{found['digest']}")
        assert by_digest["native"] == found["native"]

        monkeypatch.setattr("djed.service.extract.ground.Ground.room", None)  # who copies now fails
        assert extract(target)["native"] == found["native"]
        monkeypatch.undo()
        assert "There is no file, folder, artifact or image" in extract(f"{host}/app:2", code=3)
        assert "There is no file, folder, artifact or image" in extract(f"{host}/none", code=3)
    assert "cannot be fetched" in extract(f"{host}/app:1", code=8)
    assert not [path.name for path in (data / "contents").iterdir() if path.name.startswith(".")]
