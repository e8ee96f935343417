"""What is inside an unpacked root, a virtual environment or any folder: read from its files, never by running anything of it.

``read_contents`` looks, ``edges`` says what requires what of what was found, ``purl`` names a package for other tools, ``cached`` keeps
what was found by the digest of what was looked into.
"""

from djed.observe.contents.cache import cached
from djed.observe.contents.edges import edges
from djed.observe.contents.purl import purl
from djed.observe.contents.read import read_contents

__all__ = ["cached", "edges", "purl", "read_contents"]
