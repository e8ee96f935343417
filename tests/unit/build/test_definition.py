"""The Apptainer definition does what the Containerfile does, and no text of a request can steer how it is read."""

from __future__ import annotations

import re

import pytest

from djed.build.definition import definition
from djed.errors import RequestError
from djed.model.lock import Lock
from djed.model.request import Environment, File, Run
from tests.support.assemblies import locked

HOSTILE = (
    "'",
    '"',
    "$(id)",
    "`id`",
    "%post",
    "{{ x }}",
    "{{{",
    "a b",
    "\\",
    "#",
    "-n",
    "ä€",
    "!!",
    "; id",
    "${HOME}",
)


def nothing(digest: str) -> bytes:
    raise AssertionError(digest)


def written(
    environment: Environment | None = None, *, base: str = "debian:12", run: Run | None = None
) -> str:
    return definition(environment or Environment(), base=base, content=nothing, run=run)


def sections(text: str) -> dict[str, str]:
    """As Apptainer reads a definition: a line that begins with a percent sign begins a section."""
    found = re.split(r"^%(\w+)$", text, flags=re.MULTILINE)
    return {"": found[0], **dict(zip(found[1::2], found[2::2], strict=True))}


@pytest.mark.parametrize(
    ("base", "head"),
    [
        ("debian:12", "Bootstrap: docker\nFrom: debian:12"),
        ("oci:/a b", "Bootstrap: oci\nFrom: /a b"),
        ("oci-archive:/a.tar", "Bootstrap: oci-archive\nFrom: /a.tar"),
        ("docker-archive:/a.tar", "Bootstrap: docker-archive\nFrom: /a.tar"),
        ("rootfs:/root", "Bootstrap: localimage\nFrom: /root"),
    ],
)
def test_it_begins_with_the_base(base: str, head: str) -> None:
    assert head in written(base=base)


@pytest.mark.parametrize("base", ["host", "a\nb", "oci:/a\n%post", "-x"])
def test_what_is_no_image_is_refused(base: str) -> None:
    with pytest.raises(RequestError, match="not the name of an image"):
        written(base=base)


def test_a_lock_is_installed_as_it_is() -> None:
    lock = Lock(python="3.11.7", packages=(locked("app", "1.0"),))
    post = sections(
        definition(Environment(native=("git",)), base="debian:12", content=nothing, lock=lock, manager="apt")
    )["post"]
    assert "'app==1.0 \\' \\" in post
    assert "--no-deps -r /opt/djed/requirements.txt" in post
    assert post.index("apt-get install -y --no-install-recommends 'git'") < post.index(
        "uv venv --python 3.11.7"
    )


def test_it_has_four_sections_whatever_is_asked() -> None:
    environment = Environment(
        variables={"A": "\n%post\nid\n", "B": "%post"},
        files=(File(path="%post", content="\n%post\n"),),
    )
    found = sections(written(environment, run=Run(command=("%post", "\n%runscript\n"))))
    assert [*found] == ["", "post", "environment", "runscript"]
    assert found["runscript"].strip().endswith('exec /opt/djed/start "$@"')


@pytest.mark.parametrize("odd", HOSTILE)
def test_no_template_variable_can_be_made(odd: str) -> None:
    text = written(
        Environment(variables={"A": odd}, files=(File(path=odd, content=odd),)), run=Run(command=(odd,))
    )
    assert "{{" not in text
