"""The supervisor of one attempt: ``python -I -S <this folder> <job directory>``."""

import sys

import attempt

sys.exit(attempt.main(sys.argv[1]))
