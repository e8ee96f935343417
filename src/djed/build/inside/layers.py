"""``image PLAN IMAGE ENVIRONMENT INTO``: an image of the layers of another one, a Python environment and files. Deterministic.

``IMAGE`` is an OCI layout, ``ENVIRONMENT`` the folder of a virtual environment or empty. ``INTO`` becomes a layout without the blobs of
``IMAGE``: out of a sandbox nothing can be linked, and nothing need be copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from djed.build.inside.bundled import place_files, read_plan
from djed.toolbox.layers import Tree, write_layer
from djed.toolbox.oci import LayerFile, Layout, extend

__all__ = ["run"]


def run(arguments: Sequence[str]) -> None:
    """Write the image."""
    plan_file, below, environment, into = arguments
    plan = read_plan(Path(plan_file))
    home, user = plan["home"], plan["user"]
    files = place_files(plan, Path(plan_file).parent)
    trees = (
        [(Tree(source=Path(environment), target=plan["environment"]), "Python environment")]
        if environment
        else []
    )
    trees.append((Tree(source=files, target=home, uid=user), "files"))
    # Beside the layout, so that its layers become its blobs by another name.
    drafts = Path(into).with_name("drafts")
    drafts.mkdir(parents=True)
    image = Layout(Path(below)).choose(plan["arch"])
    layers = [
        _layer(tree, drafts / str(number), what, plan["epoch"]) for number, (tree, what) in enumerate(trees)
    ]
    extend(
        Path(below),
        image,
        layers,
        config=plan["config"],
        into=Path(into),
        epoch=plan["epoch"],
        complete=False,
    )
    for layer in layers:
        layer.path.unlink()
    drafts.rmdir()


def _layer(tree: Tree, path: Path, what: str, epoch: int) -> LayerFile:
    with path.open("xb", buffering=0) as file:
        written = write_layer([tree], file, epoch=epoch)
    path.chmod(0o644)
    return LayerFile(
        path=path, digest=written.digest, diff_id=written.diff_id, size=written.size, comment=f"djed: {what}"
    )
