"""The recipe of a request or an inspection, with what the store and the nodes know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from djed.build.definition import definition
from djed.build.recipe import host_image, recipe
from djed.service.checks import check_shown

if TYPE_CHECKING:
    from djed.intake.submission import Submission
    from djed.model.hardware import Node
    from djed.model.image import PackageManager
    from djed.model.inspection import Inspection
    from djed.model.preview import RecipeForm
    from djed.service.engine import Engine

__all__ = ["of_inspection", "of_submission"]

_FORMS = {"containerfile": recipe, "apptainer": definition}
_MANAGERS: Mapping[str, PackageManager] = {
    "debian": "apt", "ubuntu": "apt", "fedora": "dnf", "rhel": "dnf", "centos": "dnf", "rocky": "dnf", "almalinux": "dnf", "alpine": "apk",
}  # fmt: skip
"""Package managers by the ID of os-release, where the system alone is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Below:
    """What a recipe begins with."""

    image: str
    manager: PackageManager | None = None


def of_inspection(engine: Engine, item: Inspection, form: RecipeForm = "containerfile") -> str:
    """How the environment of an inspection is built by hand, with its very stack where it is known."""
    node = item.plan.build_node if item.plan else None
    version = item.plan.python_version if item.plan else item.request.environment.python
    below = _below(engine, item.request.environment.base, node, item.plan.image if item.plan else None)
    return _FORMS[form](
        item.request.environment,
        base=below.image,
        content=engine.store.blobs.get,
        lock=item.lock,
        python=version,
        run=item.request.run,
        manager=below.manager,
    )


def of_submission(engine: Engine, submission: Submission, form: RecipeForm = "containerfile") -> str:
    """The same of a request that was not submitted: its packages are resolved when the recipe is built."""
    check_shown(engine, submission)
    environment = submission.request.environment
    below = _below(engine, environment.base, None, None)
    return _FORMS[form](
        environment,
        base=below.image,
        content=_content(submission.contents, engine),
        python=environment.python,
        run=submission.request.run,
        manager=below.manager,
    )


def _content(given: Mapping[str, bytes], engine: Engine) -> Callable[[str], bytes]:
    return lambda digest: given[digest] if digest in given else engine.store.blobs.get(digest)


def _below(engine: Engine, base: str, node: str | None, image: str | None) -> _Below:
    """An image as it is, with what was seen in it; for ``host`` the one that comes nearest to the machine."""
    if base == "host":
        return _host(engine.nodes(), node)
    found = engine.artifact(image) if image else None
    return _Below(image=base, manager=found.image.package_manager if found and found.image else None)


def _host(nodes: Sequence[Node], node: str | None) -> _Below:
    chosen = next((item for item in nodes if item.id == node), nodes[0] if nodes else None)
    if chosen is None:
        return _Below(image="debian", manager="apt")
    return _Below(image=host_image(chosen.hardware), manager=_MANAGERS.get(chosen.hardware.os or ""))
