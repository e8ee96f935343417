"""The command line against a server: the same commands, with a real server, uv and sandbox; no package is needed."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import begin, djed, environment, read_until
from tests.support.server import Served, server

pytestmark = pytest.mark.needs("uv", "bwrap")

HELLO = '#!/bin/sh\necho "hello $1"\n'
ENDLESS = "#!/bin/sh\ni=0\nwhile [ $i -lt 100 ]; do i=$((i + 1)); echo line $i; sleep 0.05; done\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("server") / "data") as made:
        yield made


@pytest.fixture
def there(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The command line uses the server, and could not do without: what would be its own store cannot be."""
    use(monkeypatch, served.url, served.token)
    return served


def use(monkeypatch: pytest.MonkeyPatch, url: str, token: str) -> None:
    monkeypatch.setenv("DJED_SERVER", url)
    monkeypatch.setenv("DJED_TOKEN", token)
    monkeypatch.setenv("DJED_DATA", "/proc/nowhere")


@pytest.fixture
def hello(tmp_path: Path) -> str:
    return written(tmp_path, "hello.sh", HELLO)


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_from_a_script_to_its_removal(there: Served, hello: str) -> None:
    inspected = json.loads(djed("inspect", hello, "--repeat", "2", "--json", "--", "you"))
    assert (inspected["outcome"], len(inspected["statistics"][0]["values"])) == ("succeeded", 2)
    again = json.loads(djed("inspect", hello, "--name", "other", "--json", "--", "me"))

    assert [item["id"] for item in json.loads(djed("list", "--limit", "2", "--json"))] == [
        again["id"],
        inspected["id"],
    ]
    assert json.loads(djed("show", "hello", "--json"))["jobs"][-1]["role"] == "run:1"
    assert djed("logs", "hello", "--run", "0", "--stdout") == "hello you\n"
    changes = json.loads(djed("diff", "hello", "other", "--json"))["request"]
    assert {change["name"] for change in changes} == {"run.arguments", "run.repeat"}
    rows = list(csv.DictReader(io.StringIO(djed("export", "--format", "csv", "hello"))))
    assert [row["metric"] for row in rows] == ["duration", "duration"]
    assert {item["kind"] for item in json.loads(djed("export", "--observations", "hello"))} >= {"runs"}
    assert json.loads(djed("stats", "--json"))["outcomes"]["succeeded"] >= 2
    assert json.loads(djed("queue", "hello", "--json"))["state"] == "done"

    djed("rm", "hello", "other")
    assert json.loads(djed("list", "--name", "other", "--json")) == []


def test_progress_and_result_look_as_they_do_here(there: Served, hello: str) -> None:
    with begin("inspect", hello) as process:
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert out.startswith("hello succeeded  ")
    assert "Built environment" in err
    assert "Ran hello.sh in " in err


def test_exit_codes_are_the_same(there: Served, tmp_path: Path) -> None:
    failing = written(tmp_path, "fails.sh", "#!/bin/sh\necho about to fail >&2\nexit 7\n")
    err = djed("inspect", failing, code=1)
    assert "about to fail" in err
    assert "[nonzero_exit]" in err
    picky = written(tmp_path, "picky.yaml", "run: {script: fails.sh, hardware: {cores: 100000+}}\n")
    assert "run.hardware.cores" in djed("inspect", picky, code=5)
    assert "There is no inspection 'nothing'." in djed("show", "nothing", code=3)
    assert "is done already" in djed("cancel", "fails", code=4)


def test_what_is_left_to_the_server_is_done_by_it_and_can_be_followed(there: Served, tmp_path: Path) -> None:
    endless = written(tmp_path, "counts.sh", ENDLESS)
    identity = djed("inspect", "--detach", endless).strip()
    lines = djed("logs", "-f", identity, "--stdout").splitlines()
    assert lines[:100] == [f"line {number}" for number in range(1, 101)]
    assert json.loads(djed("show", identity, "--json"))["outcome"] == "succeeded"


def test_ctrl_c_once_cancels(there: Served, tmp_path: Path) -> None:
    endless = written(tmp_path, "cancelled.sh", ENDLESS)
    with begin("inspect", endless) as process:
        read_until(process, "Built environment")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(djed("show", "cancelled", "--json"))["state"] == "cancelled"


def test_ctrl_c_twice_leaves_it_to_the_server(there: Served, tmp_path: Path) -> None:
    endless = written(tmp_path, "left.sh", ENDLESS)
    with begin("inspect", endless) as process:
        read_until(process, "Built environment")
        process.send_signal(signal.SIGINT)
        read_until(process, "Cancelling")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "djed logs -f" in err
    djed("logs", "-f", "left")
    assert json.loads(djed("show", "left", "--json"))["outcome"] == "succeeded"


def test_several_files_are_followed_together(there: Served, tmp_path: Path) -> None:
    files = [
        written(tmp_path, f"{name}.sh", f"#!/bin/sh\necho {name}\n") for name in ("alpha", "beta", "gamma")
    ]
    found = json.loads(djed("inspect", *files, "--json"))
    assert [(item["name"], item["outcome"]) for item in found] == [
        (name, "succeeded") for name in ("alpha", "beta", "gamma")
    ]


def test_a_plan_starts_nothing(there: Served, tmp_path: Path) -> None:
    planned = written(tmp_path, "planned.sh", "#!/bin/sh\n")
    assert "planned fits" in djed("plan", planned)
    assert json.loads(djed("plan", planned, "--json"))["fits"] is True
    assert json.loads(djed("list", "--name", "planned", "--json")) == []


def test_secrets_come_from_standard_input_and_never_back(there: Served) -> None:
    djed("secret", "set", "api_key", given="hush\n")
    assert djed("secret", "list") == "api_key\n"
    djed("secret", "rm", "api_key")
    assert json.loads(djed("secret", "list", "--json")) == []


def test_the_server_s_nodes_and_health_are_shown(there: Served) -> None:
    assert json.loads(djed("hwinfo", "--json"))["nodes"][0]["interpreters"]
    assert "where the work is done" in djed("hwinfo", "--noise", code=2)
    parts = json.loads(djed("doctor", "--json"))
    assert [(part["name"], part["present"]) for part in parts] == [
        ("server", True),
        ("token", True),
        ("nodes", True),
    ]
    assert there.token not in djed("config")


def test_the_program_in_the_docs_works(there: Served, tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent.parent / "docs/how-to/use-a-server.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    written(tmp_path, "inspection.yaml", "run: {script: hello.sh}\n")
    written(tmp_path, "hello.sh", HELLO)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Statistics(metric='duration'" in done.stdout.splitlines()[-1]


def test_without_a_good_token_a_sentence_says_so(
    there: Served, hello: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = there.new_token("read")
    brief = there.new_token("submit", ttl=0.05)
    time.sleep(0.06)
    for token, sentence in (
        ("djed_0000000000000000_" + "x" * 43, "This token is not known."),
        ("nonsense", "This token is not known."),
        (brief, "This token has expired."),
    ):
        monkeypatch.setenv("DJED_TOKEN", token)
        assert djed("list", code=10).startswith(f"error: {sentence}\n")
    parts = json.loads(djed("doctor", "--json"))
    assert [(part["name"], part["present"]) for part in parts] == [("server", True), ("token", False)]
    monkeypatch.delenv("DJED_TOKEN")
    assert "This needs a token." in djed("inspect", hello, code=10)
    monkeypatch.setenv("DJED_TOKEN", reader)
    assert json.loads(djed("list", "--limit", "1", "--json")) is not None
    assert "'submit'" in djed("inspect", hello, code=10)


def test_without_a_server_a_sentence_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    use(monkeypatch, url, "djed_secret")
    err = djed("list", code=8)
    assert f"{url} cannot be reached: connection refused." in err
    assert "djed_secret" not in err
    assert json.loads(djed("doctor", "--json"))[0]["present"] is False


def test_an_inspection_outlives_a_restart_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, port = tmp_path / "data", str(free_port())
    counts = written(tmp_path, "counts.sh", ENDLESS)
    with server(data, "--port", port) as served:
        use(monkeypatch, served.url, served.token)
        process = begin("inspect", counts, "--repeat", "2", "--json")
        read_until(process, "Built environment")
        served.stop()
    with process, server(data, "--port", port, token=served.token):
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out)["outcome"] == "succeeded"


def test_a_followed_log_outlives_the_sudden_end_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, port = tmp_path / "data", str(free_port())
    counts = written(tmp_path, "counts.sh", ENDLESS)
    with server(data, "--port", port) as served:
        use(monkeypatch, served.url, served.token)
        identity = djed("inspect", "--detach", counts).strip()
        process = begin("logs", "-f", identity, "--stdout", "--job", "run:0")
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        served.kill()
    with process, server(data, "--port", port, token=served.token):
        lines += process.stdout.readlines()
    assert process.returncode == 0
    assert lines[:100] == [f"line {number}\n" for number in range(1, 101)]
