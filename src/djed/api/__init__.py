"""The HTTP API: FastAPI routes over the engine. Needs the extra ``server``.

::

    protocol  what uvicorn lets in: heads in time and of bounded size, so many connections
      └─ access   one line in the log and one measure for each call
           └─ limits   each call gets an id, a rate, safe headers; what nobody foresaw becomes a 500 without a word of it
                └─ auth    who calls
                     └─ routes/*  one file a topic; handlers give prepared responses (``answers``)
    body      the body of a call, bounded and readable        problems   every error as application/problem+json
    hub       what happens, read once for all who follow      following  the streams of events and logs made of it
"""
