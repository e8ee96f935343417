"""Schemathesis over the whole OpenAPI document finds nothing: no 500, no answer that it does not tell, nothing taken that it excludes.

Bounded and seeded. A good request is told from a wrong one by more than a schema can say, so it is not asked for that all that fits the
schema is taken.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import server

EXAMPLES = 15
SECONDS = 400
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,"
    "negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance,ignored_auth"
)

HOOKS = """\
import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # Nobody works here, so nobody resolves: a plan would wait for it in vain.
    if case.operation.path == "/v1/plan":
        case.query = {**(case.query or {}), "wait": 0}
"""


def bounded(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what never ends (streams), what takes its time on purpose (waiting), and other spellings of the same bodies."""
    found: dict[str, Any] = copy.deepcopy(document)
    found["paths"] = {path: item for path, item in found["paths"].items() if not path.endswith("/stream")}
    # Requirements within requirements without end take Schemathesis deeper than some Pythons' own parser goes.
    hardware = found["components"]["schemas"]["HardwareRequirement"]["properties"]
    for name in ("any_of", "ordered"):
        hardware[name]["items"] = {"type": "object", "additionalProperties": False}
    for item in found["paths"].values():
        for operation in item.values():
            parameters = operation.get("parameters", ())
            operation["parameters"] = [one for one in parameters if one["name"] != "wait"]
            content = operation.get("requestBody", {}).get("content", {})
            for kind in [kind for kind in content if "application/json" in content]:
                if kind != "application/json":
                    del content[kind]
    return found


@pytest.mark.timeout(SECONDS + 50)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work", "--set", "serve.rate=100000") as served:
        served.submit()
        file = tmp_path / "openapi.json"
        file.write_text(json.dumps(bounded(served.get("/v1/openapi.json"))))
        environ = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)}
        (tmp_path / "hooks.py").write_text(HOOKS)
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", served.url),
            *("--header", f"Authorization: Bearer {served.token}", "--checks", CHECKS, "--workers", "2"),
            *("--phases", "examples,coverage,fuzzing", "--seed", "1", "--max-examples", str(EXAMPLES)),
            *("--max-response-time", "30", "--request-timeout", "30", "--no-color", "--warnings", "off"),
        ]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
        log = served.data.with_name(f"{served.data.name}.log").read_text()
        assert "Traceback" not in log
