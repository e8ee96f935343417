"""The first line of anyone's program; it does not get past it."""

import githubkit

print(githubkit.__name__, "imports")
