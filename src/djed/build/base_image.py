"""The base of an environment: what a request names becomes an image of ours, unpacked, with all that is known of it."""

from __future__ import annotations

from pathlib import Path

from djed.build.base import INSECURE_REGISTRIES, own_code, require_success
from djed.build.image_facts import seal_image
from djed.build.interface import Assembly, Sealed
from djed.model.artifact import ArtifactKind
from djed.model.base import parse_base
from djed.model.job import At, Job
from djed.model.result import Result
from djed.toolbox.digest import digest_json

__all__ = ["BaseBuilder"]

_VERSION = 1


class BaseBuilder:
    """Brings the image that ``environment.base`` names. Not for the base ``host``."""

    kind: ArtifactKind = "image"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the question: the reference, the kind of machine, and the state of the file it names.

        A name may lead to another image tomorrow, so this is no artifact's: the artifact is called by what was found.
        """
        return digest_json(
            {
                "builder": ["base", _VERSION],
                "reference": assembly.environment.base,
                "arch": assembly.node.hardware.arch,
                "stamp": assembly.stamp,
                "salt": assembly.salt,
            }
        )

    def render(self, assembly: Assembly) -> Job:
        """A job of our own code that makes ``outputs/image``: sandboxed for a file or layout, with engine and network for a name."""
        base = parse_base(assembly.environment.base)
        source: str | At = At(place="source") if base.local else base.name
        # Only outside a sandbox can it be told who owns the files of a folder, and can those be read that are not everybody's.
        plain = base.kind == "rootfs" and assembly.stamp.startswith("sha256:")
        insecure = assembly.settings.get(INSECURE_REGISTRIES, "")
        return Job(
            kind="base",
            command=own_code("base", base.kind, source, At(place="outputs"), assembly.node.hardware.arch),
            variables={INSECURE_REGISTRIES: insecure} if insecure and not base.local else {},
            limits=assembly.limits,
            network=not base.local,
            source=base.name if base.local else None,
            engine=plain or not base.local,
            tools=True,
            sandbox=assembly.sandbox,
            target=assembly.node.target,
            node=assembly.node.id,
        )

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The image, called by its reference and by what is in it, so that the same one is kept once."""
        require_success(result)
        return seal_image(outputs, reference=assembly.environment.base, arch=assembly.node.hardware.arch)
