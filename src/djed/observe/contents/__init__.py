"""What is inside an unpacked image, a virtual environment or any folder: read from its files, never by running any of them.

``read_contents`` looks, ``edges`` says what requires what of what was found, ``purl`` names a package for other tools, ``cached`` keeps
what was found by a digest.
"""

from djed.observe.contents.cache import cached
from djed.observe.contents.edges import edges
from djed.observe.contents.purl import purl
from djed.observe.contents.read import read_contents

__all__ = ["cached", "edges", "purl", "read_contents"]
