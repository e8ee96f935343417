"""The recipe of a request or an inspection: :func:`djed.build.recipe.recipe` with what the store and the nodes know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from djed.build.recipe import host_image, recipe
from djed.service.checks import check_shown

if TYPE_CHECKING:
    from djed.intake.submission import Submission
    from djed.model.hardware import Node
    from djed.model.inspection import Inspection
    from djed.service.engine import Engine

__all__ = ["of_inspection", "of_submission"]


def of_inspection(engine: Engine, item: Inspection) -> str:
    """How the environment of an inspection is built by hand, with its very stack where it is known."""
    node = item.plan.build_node if item.plan else None
    version = item.plan.python_version if item.plan else item.request.environment.python
    return recipe(
        item.request.environment,
        base=_base(item.request.environment.base, engine.nodes(), node),
        content=engine.store.blobs.get,
        lock=item.lock,
        python=version,
        run=item.request.run,
    )


def of_submission(engine: Engine, submission: Submission) -> str:
    """The same of a request that was not submitted: its packages are resolved when the recipe is built."""
    check_shown(engine, submission)
    environment = submission.request.environment
    return recipe(
        environment,
        base=_base(environment.base, engine.nodes(), None),
        content=_content(submission.contents, engine),
        python=environment.python,
        run=submission.request.run,
    )


def _content(given: Mapping[str, bytes], engine: Engine) -> Callable[[str], bytes]:
    return lambda digest: given[digest] if digest in given else engine.store.blobs.get(digest)


def _base(base: str, nodes: Sequence[Node], node: str | None) -> str:
    """An image as it is; for ``host`` the one that comes nearest to the machine."""
    if base != "host":
        return base
    chosen = next((item for item in nodes if item.id == node), nodes[0] if nodes else None)
    return host_image(chosen.hardware) if chosen else "debian"
