"""The loop: watches one command until it and all its descendants are gone, and says what happened."""

import os
import re
import resource
import select
import signal
import time

import cgroup
import engine
from capture import Capture
from command import Command, adopt_orphans
from disk import DiskWatch

GRACE = 0.5  # seconds between SIGTERM and SIGKILL
TICK = 0.25  # seconds between looks at the disk
PATIENCE = 10.0  # seconds for killed processes to go; one that sleeps in the kernel may not
CHUNK = 1024 * 1024


def supervise(order, meanwhile, secrets=None):
    """Run the command of ``order``; call ``meanwhile`` once it runs. Returns what result.json says, ``None`` if told to abandon it."""
    supervisor = Supervisor(order, secrets)
    if os.path.exists("cancel"):
        supervisor.reason = "cancelled"
        return supervisor.result()
    supervisor.start()
    meanwhile()
    supervisor.watch()
    return supervisor.result()


class Supervisor:
    """One command, from start to the last of its descendants."""

    def __init__(self, order, secrets=None):
        self.order = order
        self.secrets = secrets
        self.limits = order["limits"]
        self.reason = None  # why we ended it: timed_out, cancelled, disk_exceeded, unwritable, abandoned
        self.error = None
        self.status = None  # wait status of the command, of the sandbox around it with bwrap
        self.exit_code = None  # as bubblewrap reports it
        self.init = None
        self.command = None
        self.foreign = order["speaks"] in ("engine", "runtime")
        self.begin = None  # where the beginning of the command has to be looked for
        self.started = self.ended = None
        self.started_at = self.ended_at = time.time()
        self.deadline = float("inf")
        self.kill_at = None
        self.captures = {}
        self.group = cgroup.Group()
        self.disk = DiskWatch(order["directories"], self.limits["disk"])
        self._failure = self._told = b""
        self._readers = {}
        self._poll = select.poll()
        wake, signalled = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(signalled, False)
        self._listen(wake, self._on_signal)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(signalled)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def start(self):
        """Start the command."""
        adopt_orphans()
        name = "%s.%d" % (self.order["name"], os.getpid())
        limits = self.limits
        if self.order["speaks"] == "runtime":
            limits = dict(limits, processes=limits["processes"] + engine.SPARE_PROCESSES)
        self.group = cgroup.create(name, limits, self.order["cpus"], container=self.order["speaks"] == "engine")
        if self.foreign:
            engine.hold(self.order, self.group)
            self.begin = engine.Begin(self.group) if self.group.path else None
        capture = self.secrets.capture if self.secrets else Capture
        self.captures = {name: capture(name, self.limits["output"]) for name in ("stdout", "stderr")}
        files = self.secrets.hand_over() if self.secrets else []
        self.started_at = time.time()
        self.started = time.monotonic()
        self.command = Command(self.order, self.group, files)
        # What an engine needs to start a container is not taken from the job's time.
        self.deadline = self.started + self.limits["timeout"] + (engine.STARTING if self.begin else 0.0)
        self._listen(self.command.stdout, lambda fd: self._on_output(fd, self.captures["stdout"]))
        self._listen(self.command.stderr, lambda fd: self._on_output(fd, self.captures["stderr"]))
        self._listen(self.command.failure, self._on_exec)
        if self.command.bwrap:
            self._listen(self.command.status, self._on_status)
            self._readers[self.command.gate] = self._on_gate
            self._poll.register(self.command.gate, 0)  # only its end is of interest

    def watch(self):
        """Serve pipes and clocks until the command has ended; then end what it left behind."""
        self._reap()
        while self.status is None:
            self._serve(self._pause())
            if self.begin is not None and self.begin.look():
                self._begin_inside()
            now = time.monotonic()
            if self.reason is None and now >= self.deadline:
                self.stop("timed_out")
            if self.reason is None and self.disk.check():
                self.stop("disk_exceeded")
            if self.reason is None and any(capture.error for capture in self.captures.values()):
                self.stop("unwritable")
            if self.kill_at is not None and now >= self.kill_at:
                break
        if self.begin is not None and self.begin.moment is not None:
            self.started = min(self.begin.moment, self.ended)
        self._sweep()
        self._drain()
        self.ended = self.ended or time.monotonic()
        self.ended_at = time.time()

    def stop(self, reason):
        """Ask the command to end, and kill it after a grace; at once where it has not even begun."""
        self.reason = reason
        asked = self.command.terminate(self.init)
        self.kill_at = time.monotonic() + (GRACE if asked else 0.0)

    def result(self):
        """What result.json says; ``None`` when abandoned."""
        if self.order["after"] and self.command is not None:
            import after  # most jobs have none

            after.clear(self.order["after"], self.order["wrap_environ"], needed=not self._ended_alone())
        if self.reason == "abandoned":
            self.group.remove()
            return None
        streams = {name: capture.close() for name, capture in self.captures.items()}
        exit_code, killer = self._outcome()
        if self.reason is None and self.disk.settle():
            self.reason = "disk_exceeded"
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = {
            "exit_code": exit_code,
            "signal": killer,
            "error": self.error or next((capture.error for capture in self.captures.values() if capture.error), None),
            "timed_out": self.reason == "timed_out",
            "out_of_memory": self.group.out_of_memory() and exit_code != 0,
            # A shell passes the death of its child on in its exit code.
            "disk_exceeded": self.reason == "disk_exceeded" or signal.SIGXFSZ in (killer, (exit_code or 0) - 128),
            "cancelled": self.reason == "cancelled",
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "duration": self.ended - self.started if self.ended else 0.0,
            "usage": self._usage(usage),
            "peak_memory": self.group.peak_memory() or (None if self.foreign else usage.ru_maxrss * 1024),
            "cpus": self.order["cpus"],
            "sandbox": self.order["level"],
            "sandbox_tool": self.order["tool"],
            "limits": self.group.enforced,
        }
        result.update(streams)
        if self.secrets:
            result["skipped"] = self.secrets.withhold(self.order["directories"][1])
        self.group.remove()
        return result

    def _outcome(self):
        """Exit code and signal; sets ``error`` where the command never ran."""
        if self._failure:
            number, _, text = self._failure.decode("utf-8", "replace").partition(" ")
            self.error = explain(self.order, int(number), text)
            return None, None
        if self.status is None:
            return None, signal.SIGKILL if self.command else None
        if os.WIFSIGNALED(self.status) and self.exit_code is None:
            if self.foreign and self.reason is None:
                self.error = "%s was killed (signal %d)" % (os.path.basename(self.order["wrap"][0]), os.WTERMSIG(self.status))
                return None, None
            return None, os.WTERMSIG(self.status)
        if self.begin is not None and self.reason is not None:
            return None, signal.SIGTERM  # it was stopped before it began
        if self.command.speaks is None:
            return os.WEXITSTATUS(self.status), None
        code = self.exit_code if self.command.bwrap else os.WEXITSTATUS(self.status)
        if code is None or self.foreign:
            self.error = self._explain_sandbox() if self.command.bwrap else self._explain_engine(code)
            if self.error:
                return None, None
        # The first process inside passes the end by a signal on as 128 + number, like a shell.
        if 128 < code <= 128 + signal.SIGRTMAX:
            return None, code - 128
        return code, None

    def _usage(self, usage):
        """Of the command."""
        if self.order["speaks"] == "engine":
            return engine.usage(self.group)
        return {name: getattr(usage, name) for name in dir(usage) if name.startswith("ru_")}

    def _ended_alone(self):
        """Whether the engine's program ended as it does when its container is gone."""
        return self.reason is None and self.status is not None and os.WIFEXITED(self.status) and os.WEXITSTATUS(self.status) != 125

    def _explain_engine(self, code):
        found = engine.complaint(_read_stderr(-4096), code)
        if found is None:
            return None
        text, of_program = found
        return explain(self.order, 0, text) if of_program else "the container could not be started: %s" % text

    def _explain_sandbox(self):
        told = _read_stderr(4096)
        match = re.search(r"^bwrap: execvp (.*): (.*)$", told, re.MULTILINE)
        if match:
            return explain(self.order, 0, match.group(2))
        match = re.search(r"^bwrap: (.*)$", told, re.MULTILINE)
        return "the sandbox could not be set up: %s" % (match.group(1) if match else "bubblewrap did not say why")

    def _listen(self, fd, reader):
        self._readers[fd] = reader
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd):
        self._poll.unregister(fd)
        del self._readers[fd]
        os.close(fd)

    def _pause(self):
        now = time.monotonic()
        until = self.deadline if self.kill_at is None else self.kill_at
        return max(0.0, min(TICK if self.begin is None else engine.LOOK, until - now))

    def _serve(self, seconds):
        for fd, _ in self._poll.poll(int(seconds * 1000) + 1):
            self._readers[fd](fd)

    def _on_signal(self, fd):
        numbers = os.read(fd, 4096)
        if signal.SIGTERM in numbers and self.reason is None:
            if os.path.exists("cancel"):
                self.stop("cancelled")
            else:
                self.stop("abandoned")
        self._reap()

    def _on_output(self, fd, capture):
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        if data:
            capture.feed(data)
        else:
            self._forget(fd)

    def _on_exec(self, fd):
        data = os.read(fd, 4096)
        self._failure += data
        if not data:
            self._forget(fd)
            if not self.command.bwrap:
                self._begin()

    def _on_gate(self, fd):
        self._forget(fd)
        self._begin()

    def _begin(self):
        """The command itself starts now; what went before was ours."""
        if self.ended is None:
            self.started = time.monotonic()
            self.started_at = time.time()

    def _begin_inside(self):
        """It began in its container; where we can, hear from the kernel when its first process ends, before the engine tells."""
        first, self.begin = self.begin.first, None
        self._begin()
        self.deadline = self.started + self.limits["timeout"]
        try:
            self._listen(os.pidfd_open(first), self._on_end)
        except (AttributeError, OSError):  # before Python 3.9; over already
            pass

    def _on_end(self, fd):
        self._forget(fd)
        self.ended = self.ended or time.monotonic()

    def _on_status(self, fd):
        data = os.read(fd, 4096)
        if not data:
            self._forget(fd)
            return
        self._told += data
        init = re.search(rb'"child-pid": (\d+)', self._told)
        code = re.search(rb'"exit-code": (\d+)', self._told)
        if init:
            self.init = int(init.group(1))
        if code and self.exit_code is None:
            self.exit_code = int(code.group(1))
            self.ended = time.monotonic()

    def _reap(self):
        """Collect the dead; return whether any descendant is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self.command is not None and pid == self.command.pid:
                self.status = status
                self.ended = self.ended or time.monotonic()

    def _sweep(self):
        """Kill what is left of the tree. As every orphan is handed to us, to have no child means that none is left."""
        if self.foreign and self._ended_alone():
            self.group.kill()  # the container is gone; who is left of the engine's own is seen to afterwards
            return
        patience = time.monotonic() + PATIENCE
        strays = []
        while self._reap() and time.monotonic() < patience:
            self.group.kill()
            for pid in strays:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self._serve(0.005)
            strays = descendants(os.getpid())

    def _drain(self):
        """Read what is still in the pipes; all writers are dead, so there is an end."""
        fds = (self.command.stdout, self.command.stderr, self.command.status, self.command.failure)
        while any(fd in self._readers for fd in fds):
            if not self._poll.poll(0):
                return  # a writer that could not be killed
            self._serve(0)


def _read_stderr(size):
    """The first bytes of what was said, or the last where ``size`` is negative."""
    with open("stderr", "rb") as file:
        if size < 0:
            file.seek(max(0, os.fstat(file.fileno()).st_size + size))
        return file.read(abs(size)).decode("utf-8", "replace")


def descendants(ancestor):
    """Process ids of all descendants, youngest generation last, by proc(5)."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found = []
    generation = [ancestor]
    while generation:
        generation = [child for pid in generation for child in parents.get(pid, ())]
        found += generation
    return found


def explain(order, number, text):
    """A sentence on why the program could not be started."""
    program = order["command"][0]
    text = os.strerror(number) if number else text
    if text == os.strerror(8):  # ENOEXEC
        return "%s cannot be executed: it has no interpreter line (#!)" % program
    if text != os.strerror(2):  # ENOENT
        return "%s cannot be executed: %s" % (program, text)
    inside = order["places"]["work"].rstrip("/") + "/"
    path = os.path.join(order["cwd"], program[len(inside):] if program.startswith(inside) else program)
    if "/" in program and os.path.lexists(path):
        try:
            with open(path, "rb") as file:
                line = file.readline(256).decode("utf-8", "replace").strip()
        except OSError:
            line = ""
        if line.startswith("#!"):
            return "interpreter not found: %s (first line of %s)" % (line[2:].strip(), os.path.basename(program))
    return "program not found: %s" % program
