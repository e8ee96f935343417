"""The files of ``deploy`` can be read by those for whom they are, and say what the code says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.config import Config, load
from djed.model.quantity import parse_size

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("djed.service", "djed-worker.service")
INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def unit(name: str) -> dict[str, dict[str, str]]:
    """Settings by section; a setting that comes twice is a mistake here."""
    sections: dict[str, dict[str, str]] = {}
    section = ""
    for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections[section] = {}
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            assert key not in sections[section], line
            sections[section][key] = value
    return sections


@pytest.mark.parametrize("name", UNITS)
def test_running_jobs_survive_a_stop_of_the_unit(name: str) -> None:
    service = unit(name)["Service"]
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert "DynamicUser" not in service
    assert "PrivateTmp" not in service


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_hardened_as_far_as_bubblewrap_lets_it(name: str) -> None:
    service = unit(name)["Service"]
    assert service["User"] == "djed"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "/tmp /var/tmp"
    assert f"/var/lib/{service['StateDirectory']}" in service["Environment"]
    hiding = {"ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc", "ProcSubset", "RestrictNamespaces"}
    assert not hiding & service.keys()


def test_both_units_differ_only_in_what_they_do() -> None:
    server, worker = (unit(name)["Service"] for name in UNITS)
    assert server["ExecStart"].endswith(" serve")
    assert worker["ExecStart"].endswith(" worker")
    same = server.keys() & worker.keys() - {"ExecStart", "DelegateSubgroup"}
    assert {key: server[key] for key in same} == {key: worker[key] for key in same}
    assert server.keys() - worker.keys() == {"LimitNOFILE"}
    assert int(server["LimitNOFILE"]) >= Config().serve_connections + 1024


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    place = tmp_path / name
    place.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True, check=False)
    # An older systemd does not know where the server itself is to be put, and says so.
    said = [line for line in done.stderr.splitlines() if "DelegateSubgroup" not in line]
    assert (done.returncode, said) == (0, [])


def containerfile() -> list[tuple[str, str]]:
    """Instructions and what they say; comments gone, lines joined."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    bare = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in bare.splitlines() if line)
    ]


def test_the_image_is_made_of_known_instructions_on_a_base_that_can_be_chosen() -> None:
    found = containerfile()
    assert {word for word, _ in found} <= INSTRUCTIONS
    assert found[0] == ("ARG", "BASE=debian:12-slim")
    assert {rest.split()[0] for word, rest in found if word == "FROM"} == {"${BASE}"}


def test_what_is_copied_is_there() -> None:
    for sources in (rest.split()[:-1] for word, rest in containerfile() if word == "COPY"):
        if sources[0] != "--from=build":
            assert all((ROOT / source).exists() for source in sources), sources


def test_the_image_does_not_run_as_root_and_says_how_it_is() -> None:
    said = dict(containerfile())  # of several the last
    assert said["USER"] == "10001"
    assert said["EXPOSE"] == str(Config().serve_port)
    assert f":{Config().serve_port}/healthz" in said["HEALTHCHECK"]
    assert json.loads(said["ENTRYPOINT"])[-1] == "djed"
    assert json.loads(said["CMD"]) == ["serve"]
    assert json.loads(said["HEALTHCHECK"].partition("CMD ")[2])[0] == "python"
    settings = dict(pair.split("=", 1) for pair in shlex.split(said["ENV"]))
    names = {name: value for name, value in settings.items() if name.startswith("DJED_")}
    config = load(environ={**names, "DJED_CONFIG": "/nonexistent"})
    assert str(config.data) == said["VOLUME"] == "/var/lib/djed"


def test_the_example_of_settings_is_valid_with_and_without_what_is_commented_out(tmp_path: Path) -> None:
    example = DEPLOY / "config.toml"
    assert load(environ={}, file=example).sandbox_floor == "bwrap"
    whole = tmp_path / "config.toml"
    text, count = re.subn(r"^# (\w+ = )", r"\1", example.read_text(encoding="utf-8"), flags=re.MULTILINE)
    whole.write_text(text)
    config = load(environ={}, file=whole)
    assert count >= 10
    assert config.fetch_hosts == ("scripts.example", "*.git.example")
    assert config.retention_size == parse_size("100Gi")


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))["panels"]


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
    assert dashboard["schemaVersion"] >= 36
    assert [item["type"] for item in dashboard["templating"]["list"]] == ["datasource"]
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["title"]
        assert panel["type"] in {"row", "stat", "timeseries"}
        assert (panel["type"] == "row") == ("targets" not in panel)
        for target in panel.get("targets", ()):
            assert panel["datasource"]["uid"] == "${source}"
            assert target["expr"].count("(") == target["expr"].count(")")


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        grid = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
