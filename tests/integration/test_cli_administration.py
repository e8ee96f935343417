"""Tokens, namespaces and the audit log at the command line, on a store of the test's own."""

from __future__ import annotations

import json
import re
import sys
from typing import Protocol

import pytest

from djed.cli.main import main


class Run(Protocol):
    """Stdout and stderr of a command that ends with that exit code."""

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]: ...


@pytest.fixture
def djed(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main(arguments) == code
        told = capsys.readouterr()
        return told.out, told.err

    return run


@pytest.mark.usefixtures("data")
def test_a_token_is_data_and_all_else_is_not(djed: Run) -> None:
    out, err = djed("token", "create", "ci", "--namespace", "team", "--scope", "read", "--expires", "90d")
    assert re.fullmatch(r"djed_[0-9a-f]{16}_[\w-]{43}\n", out)
    assert "may read in the namespace team" in err
    (token,) = json.loads(djed("token", "list", "--json")[0])
    assert (token["name"], token["namespace"], token["scope"]) == ("ci", "team", "read")
    assert out.split("_")[1] == token["id"]
    assert token["expires_at"] - token["created_at"] == pytest.approx(90 * 86400)
    assert "89d" in djed("token", "list")[0]
    djed("token", "revoke", token["id"])
    assert "revoked" in djed("token", "list")[0]
    assert [entry["action"] for entry in json.loads(djed("audit", "--json", "--limit", "2")[0])] == [
        "token.revoke",
        "token.create",
    ]
    assert "There is more" in djed("audit", "--limit", "1")[1]


@pytest.mark.usefixtures("data")
def test_a_namespace_changes_only_where_it_is_told_to(djed: Run) -> None:
    djed(
        "namespace",
        "set",
        "team",
        "--weight",
        "2",
        "--queued",
        "5",
        "--cpu",
        "1.5",
        "--storage",
        "20Gi",
        "--keep-age",
        "90d",
    )
    told = djed(
        "namespace", "set", "team", "--priority", "50", "--queued", "none", "--keep-count", "7", "--json"
    )[0]
    changed = json.loads(told)
    assert (changed["weight"], changed["priority"]) == (2.0, 50)
    assert changed["quota"] == {"queued": None, "running": None, "cpu": 1.5, "storage": 20 * 2**30}
    assert changed["retention"] == {"age": 90 * 86400.0, "count": 7, "size": None}
    assert "20 GiB" in djed("namespace", "list")[0]
    djed("namespace", "rm", "team")
    assert [item["name"] for item in json.loads(djed("namespace", "list", "--json")[0])] == ["default"]


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("token create", 2, "NAME"),
        ("token create a/b", 2, "not a name"),
        ("token create ci --scope root", 2, "root"),
        ("token create ci --expires soon", 2, "--expires"),
        ("token revoke", 2, "nothing to revoke"),
        ("token revoke 0123", 3, "There is no token"),
        ("namespace set team --queued many", 2, "--queued"),
        ("namespace set team --queued 1.5", 2, "--queued"),
        ("namespace set team --storage x", 2, "`none`"),
        ("namespace set team --weight 0", 2, "weight"),
        ("namespace set a/b", 2, "not a name"),
        ("namespace rm default", 4, "stays"),
        ("namespace rm other", 3, "There is no namespace"),
        ("audit --limit 0", 2, "--limit"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(djed: Run, line: str, code: int, words: str) -> None:
    out, err = djed(*line.split(), code=code)
    assert out == ""
    assert words in err


def test_a_server_of_which_a_part_is_missing_says_which(djed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "djed.api.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    _, err = djed("serve", code=6)
    assert "The server's part uvicorn is not installed." in err
    assert "pip install 'djed[server]'" in err
