"""The rules by which a failure gets its class: each looks at a case and names what happened, or knows nothing.

``end`` reads what the runner saw, ``index``, ``resolve`` and ``build`` read uv and compilers, ``python``, ``script`` and ``machine``
read what scripts, interpreters and the kernel say. The texts they read are recorded from the real tools in the tests.
"""
