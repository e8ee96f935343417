"""The supervisor of one attempt: ``python -I -S <this folder> <job directory>``."""

import os
import sys

import attempt

status = attempt.main(sys.argv[1])
sys.stderr.flush()
os._exit(status)  # the interpreter's own tidying takes 2 ms, for which somebody waits
