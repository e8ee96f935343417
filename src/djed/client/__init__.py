"""The engine of a server, over HTTP: the same methods, the same errors.

::

    client      Client: one method for each of the engine's
      ├─ admin       tokens, namespaces, audit
      ├─ follow      events as they come, over lost connections and restarts of the server
      │    └─ sse        the event stream, from its bytes
      └─ connection  calls: token, bounds, further tries
           └─ problems   what the server refuses, as the engine's own errors
"""

from djed.client.client import Client

__all__ = ["Client"]
