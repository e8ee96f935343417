"""Removes what lives on outside when a job is over: a container whose engine did not come to it, because it was killed or failed."""

import os
import subprocess
import sys

SECONDS = 30.0  # for each command; the runner tries again


def clear(commands, environ, needed=True):
    """Run them, where that is ``needed``; the file ``cleared`` says that nothing is left."""
    done = all([_run(argv, environ) for argv in commands]) if needed else True
    if done:
        os.close(os.open("cleared", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _run(argv, environ):
    """Whether it went well; why not is in our log."""
    try:
        code = subprocess.call(argv, env=environ, stdin=subprocess.DEVNULL, stdout=2, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        code = str(error)
    if code:
        sys.stderr.write("%s: %s\n" % (" ".join(argv[:8]), code))
    return code == 0
