"""What is different where an engine or a runtime of its own is around a command: when it begins and ends, what holds it, how it fails."""

import json
import os
import re
import signal
import time

LOOK = 0.002  # seconds between looks for the command's beginning
STARTING = 60.0  # seconds for an engine to start a container
LINGER = 10.0  # seconds for the engine's own programs to put things in order once the result is told
SPARE_PROCESSES = 100  # of gVisor's kernel, which is made of processes and threads of this machine
# What a runtime calls its own first process, before it becomes the command.
RUNTIMES = ("runc", "crun", "conmon", "exe", "youki")
# How runtimes say what execve(2) said, and the latter's own words.
WORDS = (
    ("no such file or directory", os.strerror(2)),
    ("not found in $path", os.strerror(2)),
    ("permission denied", os.strerror(13)),
    ("exec format error", os.strerror(8)),
)
# What first processes that pass signals on say where there is no such command.
FIRST = r"^\[FATAL tini \(\d+\)\] exec .* failed: (.*)$|^ERROR \(catatonit:\d+\): failed to exec pid1: (.*)$"


class Begin:
    """Looks for the moment at which the command begins: its group then has a process that is not the runtime's."""

    def __init__(self, group):
        self._group = group
        self.first = None  # process id of the first process in the container
        self.moment = None  # when it began; where it was over too soon to be seen, when the runtime was last seen

    def look(self):
        """Whether it has begun."""
        for pid in self._group.processes():
            try:
                with open("/proc/%d/comm" % pid) as file:
                    name = file.read().strip()
            except OSError:
                continue
            self.moment = time.monotonic()
            if not name.startswith(RUNTIMES):
                self.first = pid
                return True
        return False


def write_bundle(order):
    """Write the configuration of a runtime that takes the command from it."""
    bundle = order["bundle"]
    bundle["process"]["args"] += order["command"]
    with open("config.json", "w", encoding="utf-8") as file:
        json.dump(bundle, file)


def terminate(order, pid):
    """Ask the command to end, through the engine's program ``pid``, which passes a signal on, or by the command for it; does not wait."""
    try:
        if order["stop"]:
            import subprocess  # slow to import, and seldom needed

            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            subprocess.Popen(order["stop"], env=order["wrap_environ"], stdin=null, stdout=null, stderr=null)
            os.close(null)
        else:
            os.kill(pid, signal.SIGTERM)
    except OSError:
        return False
    return True


def hold(order, group):
    """Limits of each process alone would hold the engine's programs, which need more: where there is no group, what there is told."""
    import resource

    for number, name in ((resource.RLIMIT_AS, "memory"), (resource.RLIMIT_NPROC, "processes")):
        if group.rlimits.pop(number, None) is not None:
            group.enforced[name] = "engine" if order["speaks"] == "engine" else "none"
    return group


def usage(group):
    """What the command used, by its group; what the engine's own programs used is not its."""
    times, peak = group.times(), group.peak_memory()
    found = {} if times is None else {"ru_utime": times[0], "ru_stime": times[1]}
    return found if peak is None else dict(found, ru_maxrss=peak // 1024)


def linger(descendants):
    """Let the engine's own programs put things in order, now that the result is told. What has not ended by then is killed."""
    end = time.monotonic() + LINGER
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0 and time.monotonic() > end:
            for stray in descendants(os.getpid()):
                os.kill(stray, signal.SIGKILL)
            return
        if pid == 0:
            time.sleep(0.02)


def complaint(said, code):
    """Why the command never ran: the error's words, and whether they are about the program; ``None`` where it ran.

    ``said`` is the end of stderr, ``code`` how the engine's program ended. The command may have ended with the same code.
    """
    lines = [line for line in said.strip().splitlines() if not line.startswith("See 'docker run")]
    last = lines[-1] if lines else ""
    first = re.match(FIRST, last)
    if first and code in (126, 127):
        return first.group(1) or first.group(2), True
    match = re.match(r"(?:docker: )?Error[^:]*: (.*)|(?:FATAL ERROR: )?((?:running|starting|creating) [^:]*: .*)", last)
    if not match or code not in (125, 126, 127, 128):
        return None
    text = match.group(1) or match.group(2)
    for words, known in WORDS:
        if words in text.lower() and re.search(r"exec|failed to load|attempted to invoke", text):
            return known, True
    return text[:400], False
