"""The shim: the program that supervises one attempt, on every target.

It needs Python 3.6 or newer and nothing but its standard library, imports nothing of Djed, and runs as a folder or as one zip file. It
lives outside the sandbox, so a job cannot touch what it records, and it outlives the engine that started it.

``attempt.py`` is the entry: lock, start, result file. ``supervise.py`` is the loop, ``command.py`` starts the command, ``capture.py``
keeps its output, ``cgroup.py`` limits it, ``disk.py`` weighs what it leaves, ``hwinfo.py`` looks at the machine meanwhile.
For a job with secrets ``secretfiles.py`` hands them over, ``mask.py`` masks them in its output, and ``withhold.py`` looks for them in what
it leaves.
"""
