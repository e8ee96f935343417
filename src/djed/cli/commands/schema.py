"""``djed schema``: the JSON Schema of a request file."""

from djed.cli.parameters import Injected

__all__ = ["schema"]


def schema(*, context: Injected) -> None:
    """Print the JSON Schema of request files."""
    from djed.intake import schema as request_schema

    context.console.json(request_schema())
