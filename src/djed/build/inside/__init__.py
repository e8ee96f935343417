"""The program that runs inside jobs of Djed's own code: ``<interpreter> -I -S <djed>/build/inside SUBCOMMAND …``.

It may use the standard library and those of our modules that need no more: ``errors``, ``model``, ``toolbox``. What goes wrong ends as
one line, ``djed: error: KIND: MESSAGE``, often with another, ``djed: hint: …``, which the rules of ``observe`` read.
"""
