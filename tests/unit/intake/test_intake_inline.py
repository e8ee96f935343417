"""Scripts alone, with inline metadata (PEP 723)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djed.config import Config
from djed.errors import RequestError
from djed.intake import Submission, inline, read_script
from djed.model.request import File, Index

Read = Callable[[str, str], Submission]
SCRIPT = """\
#!/usr/bin/env python
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy>=2",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-01T00:00:00Z"
# index = [{ name = "gpu", url = "https://gpu.example/simple" }]
# sources = { torch = { index = "gpu" } }
#
# [tool.djed]
# name = "named"
# [tool.djed.environment]
# packages = ["torch"]
# [tool.djed.run]
# repeat = 5
# ///
print(1)
"""


def test_metadata_becomes_a_request(read_text: Read) -> None:
    submission = read_text("bench mark.py", SCRIPT)
    request = submission.request
    environment = request.environment
    assert (request.name, environment.python, environment.packages) == (
        "named",
        ">=3.11",
        ("numpy>=2", "torch"),
    )
    assert environment.exclude_newer == "2026-11-01T00:00:00Z"
    assert environment.indexes == (Index(name="gpu", url="https://gpu.example/simple", packages=("torch",)),)
    assert request.run is not None
    assert request.run.repeat == 5
    assert isinstance(request.run.script, File)
    assert request.run.script.path == "bench mark.py"
    assert submission.contents[str(request.run.script.digest)] == SCRIPT.encode()


def test_a_script_without_metadata_is_a_request_with_its_name(read_text: Read) -> None:
    request = read_text("my bench.py", "print(1)\n").request
    assert request.name == "my-bench"
    assert request.environment.packages == ()


def test_a_script_of_another_language_is_taken_as_it_is(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"#!/bin/sh\necho \xff\n")
    path.chmod(0o755)
    run = read_script(path, config=config, arguments=["-x", "1"]).request.run
    assert run is not None
    assert run.arguments == ("-x", "1")
    assert isinstance(run.script, File)
    assert run.script.executable


def test_endless_metadata_is_refused() -> None:
    with pytest.raises(RequestError, match=r"s\.py:1: the metadata is too large: it may have 9 B"):
        inline.document("s.py", b"# /// script\n# a = 123456789\n# ///\n", arguments=(), limit=9)


def test_what_is_no_script_is_refused(read_text: Read) -> None:
    with pytest.raises(RequestError, match="neither a request nor a script"):
        read_text("notes.txt", "hello\n")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("# dependencies = 'a'", "s.py: inline metadata: dependencies must be a list"),
        ("# dependencies = [\n#   'a',\n#   'b c',\n# ]", "s.py:3: environment.packages[1]: "),
        ("#\n# requires-python = 'x'", "s.py:4: environment.python: "),
        ("# [tool.djed.run]\n# repeat = 0", "s.py:4: run.repeat: "),
        ("# [tool.djed]\n# run = {script = 'x'}", "that is this script"),
        ("# [tool.djed]\n# nmae = 'x'", "s.py:4: nmae: there is no key"),
        ("# a = 1\n# = 2", "s.py:4: this is not TOML"),
        ("# ///\n\n# /// script", "there are two blocks"),
    ],
)
def test_bad_metadata_is_told_with_its_line_in_the_script(
    read_text: Read, metadata: str, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read_text("s.py", f"#!/usr/bin/env python\n# /// script\n{metadata}\n# ///\n")
    assert message in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "# /// script\n# dependencies = ['a']\nprint(1)\n",
        "# /// script\n# dependencies = ['a']\n#///\n",
        "#/// script\n# dependencies = ['a']\n# ///\n",
        "# /// other\n# dependencies = ['a']\n# ///\n",
        "    # /// script\n    # dependencies = ['a']\n    # ///\n",
    ],
)
def test_what_is_no_block_is_a_comment(read_text: Read, text: str) -> None:
    assert read_text("s.py", text).request.environment.packages == ()


@given(
    st.lists(
        st.sampled_from(
            ["# /// script", "# ///", "#", "# dependencies = ['a']", "# [tool.djed]", "# a = 1", "x", ""]
        )
        | st.text(max_size=6)
    )
)
def test_any_script_makes_a_document_or_is_refused(lines: list[str]) -> None:
    content = "\n".join(lines).encode(errors="replace")
    with suppress(RequestError):
        document = inline.document("s.py", content, arguments=(), limit=999)
        assert document.data["run"]["script"] == "s.py"
        assert all(1 <= line <= len(lines) * 7 + 1 for line in document.lines().values())
