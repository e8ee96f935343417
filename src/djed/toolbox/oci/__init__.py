"""Images as the Open Container Initiative lays them out in a folder: read from anywhere, written anew, extended by layers.

Standard library and ``djed.errors`` alone: it also runs inside jobs.
"""

from djed.toolbox.oci.exporting import docker_archive, named_index, oci_archive
from djed.toolbox.oci.extending import LayerFile, extend
from djed.toolbox.oci.importing import ImageKind, import_image
from djed.toolbox.oci.layout import Layout, unpack
from djed.toolbox.oci.nouns import Descriptor, OciImage, Platform, platform_of

__all__ = [
    "Descriptor",
    "ImageKind",
    "LayerFile",
    "Layout",
    "OciImage",
    "Platform",
    "docker_archive",
    "extend",
    "import_image",
    "named_index",
    "oci_archive",
    "platform_of",
    "unpack",
]
