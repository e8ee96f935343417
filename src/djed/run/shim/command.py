"""Starts the command of a job: a fork that limits itself, then becomes the command or the sandbox around it."""

import ctypes
import fcntl
import os
import resource
import signal

import engine

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38  # prctl(2)
CLONE_NEWNS, MS_REC, MS_SLAVE = 0x00020000, 0x4000, 0x80000  # unshare(2), mount(2)
PIPE_SIZE = 1024 * 1024
GROUP = "--cgroup-parent={group}"  # an argument of an engine that is filled in here, where the group is known

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans():
    """Make this process the parent of every descendant whose own parent dies: none escapes, and each one's usage is counted."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Command:
    """A started command and the ends of its pipes that are ours."""

    def __init__(self, order, group, files=()):
        """``files``: a descriptor and a path for each file that is to be in the sandbox beside those of the order."""
        self.order = order
        self.speaks = order["speaks"]
        self.bwrap = self.speaks == "bwrap"
        self.stdout, out = _pipe(PIPE_SIZE)
        self.stderr, err = _pipe(PIPE_SIZE)
        self.failure, failed = os.pipe()  # closed by a successful exec, else it says why there was none
        # bubblewrap tells here who its init is and how the command ended …
        self.status, status = os.pipe() if self.bwrap else (None, None)
        # … and reads one byte here when all is set up: the moment it closes its end, the command starts.
        gate, self.gate = os.pipe() if self.bwrap else (None, None)
        wrap = [part for part in (_fill(part, group) for part in order["wrap"]) if part is not None]
        told = []
        if self.bwrap:
            os.write(self.gate, b"+")
            for fd, path in reversed(files):
                at = order["files_at"]
                wrap[at:at] = order["secrets"]["options"] + ["--file", str(fd), path]
            told = ["--json-status-fd", str(status), "--block-fd", str(gate)]
        if order.get("bundle"):
            engine.write_bundle(order)
        argv = wrap[:1] + told + wrap[1:] + ([] if order.get("bundle") else order["command"])
        passed = ((status, gate) if self.bwrap else ()) + tuple(fd for fd, _ in files)
        supervisor = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for fd in passed:
                    os.set_inheritable(fd, True)
                _die_with(supervisor)
                _become(argv, order, group, (out, err))
            except BaseException as error:  # also a MemoryError: whatever it is, it must not return into the loop
                text = getattr(error, "strerror", None) or str(error) or type(error).__name__
                os.write(failed, ("%d %s" % (getattr(error, "errno", None) or 0, text)).encode())
            finally:
                os._exit(127)
        for fd in (out, err, failed) + passed:
            os.close(fd)

    def terminate(self, init):
        """Ask the command to end: SIGTERM to its process group; whether there was one to ask.

        ``init`` is the first process in the sandbox, where there is one.
        """
        if self.speaks in ("engine", "runtime"):
            return engine.terminate(self.order, self.pid)
        target = _first_child(init) if self.bwrap else self.pid
        try:
            # In a sandbox the group is that of its init, which ignores the signal; bubblewrap's own outside must stay for now.
            if target is None or (self.bwrap and os.getpgid(target) == self.pid):
                return False
            os.killpg(os.getpgid(target), signal.SIGTERM)
        except OSError:
            return False
        return True


def _pipe(size):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        fcntl.fcntl(reader, 1031, size)  # F_SETPIPE_SZ, fcntl(2): fewer wake-ups under heavy output
    except OSError:
        pass
    return reader, writer


def _die_with(supervisor):
    """Be killed when the supervisor dies, also when it has died before we could ask for it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(127)


def _become(argv, order, group, streams):
    """In the child: take on every limit, then exec. Raises OSError."""
    os.setsid()
    outside = order["speaks"] == "engine"  # the limits are the container's, not those of the program that asks for it
    if not outside:
        group.join()
    if order["engine"]:
        _mount_apart()
    elif order["level"] == "process":
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # an engine without root needs newuidmap
    if order["cpus"]:
        os.sched_setaffinity(0, order["cpus"])
    for name, value in group.rlimits.items():
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))
    _volunteer_for_oom()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(streams[0], 1)
    os.dup2(streams[1], 2)
    if order["wrap"]:
        # The job's variables reach the command alone: one like LD_PRELOAD must not reach the sandbox's own program.
        os.execve(argv[0], argv, order["wrap_environ"])
    os.chdir(order["cwd"])
    os.execvpe(argv[0], argv, order["environ"])


def _fill(part, group):
    if part != GROUP:
        return part
    return None if group.path is None else part.replace("{group}", group.path)


def _mount_apart():
    """What an engine mounts goes with its last process, however that ends. Only root can; who is not, mounts in a namespace anyway."""
    if os.geteuid() == 0 and _libc.unshare(CLONE_NEWNS) == 0:
        _libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)


def _volunteer_for_oom():
    """When the machine runs out of memory, the job goes before the rest."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass


def _first_child(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return int(file.read().split()[0])
    except (OSError, IndexError, TypeError):
        return None
