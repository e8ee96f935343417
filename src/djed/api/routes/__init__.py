"""The routes, one module a topic; each has a ``router`` that :mod:`djed.api.app` takes in."""
