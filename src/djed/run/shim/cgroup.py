"""Limits by control groups of version 1 or 2, else by rlimits; what enforced what is told in ``enforced``.

Formats: cgroups(7), Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the kernel.
"""

import errno
import os
import resource
import signal
import time

SPARE_PROCESSES = 2  # bubblewrap's own two
PATIENCE = 1.0  # seconds until a group that cannot be removed is left to the next boot
PERIOD = 100000  # microseconds over which a CPU quota is counted


class Group:
    """No control group: rlimits, which hold for each process alone."""

    path = None  # as engines name it, where the group is for a container; None where there is none
    folder = None  # one in which all of its processes are listed

    def __init__(self):
        self.enforced = {}
        self.rlimits = {resource.RLIMIT_CORE: 0}

    def limit(self, limits):
        """Write the limits that are asked for."""

    def join(self):
        """Move the calling process in. Called in the child before it execs; raises OSError where that fails."""

    def processes(self):
        """Process ids of all inside."""
        return _members(self.folder)

    def kill(self):
        """Send SIGKILL to all inside, and let none be born."""

    def out_of_memory(self):
        """Whether the kernel killed one for want of memory."""
        return False

    def peak_memory(self):
        """Bytes at most; ``None`` where unknown."""
        return None

    def times(self):
        """Seconds of CPU time of all that ever was inside, as user and as system; ``None`` where unknown."""
        return None

    def remove(self):
        """Remove the group."""


class Version1(Group):
    """One folder per controller: memory and pids, and cpu where a fraction is asked for."""

    version = "cgroup-v1"

    def __init__(self, folders, path=None):
        Group.__init__(self)
        self.folders = folders
        self.folder = folders.get("pids") or folders.get("memory")
        self.path = path
        self._alarm = self._watch() if path else None

    def limit(self, limits):
        """Write the limits that are asked for."""
        memory, pids, cpu = (self.folders.get(name) for name in ("memory", "pids", "cpu"))
        if memory and limits["memory"] and _write(memory, "memory.limit_in_bytes", limits["memory"]):
            _write(memory, "memory.memsw.limit_in_bytes", limits["memory"])
            self.enforced["memory"] = self.version
        if pids and _write(pids, "pids.max", limits["processes"] + SPARE_PROCESSES):
            self.enforced["processes"] = self.version
        if cpu and _write(cpu, "cpu.cfs_period_us", PERIOD) and _write(cpu, "cpu.cfs_quota_us", int(limits["cpu"] * PERIOD)):
            self.enforced["cpu"] = self.version

    def join(self):
        # One thread that moves itself passes the kernel's lock over all forks, whose writer waits 10 ms and more.
        for folder in self.folders.values():
            _enter(folder, "tasks")

    def kill(self):
        _write(self.folders.get("pids"), "pids.max", 0)
        for folder in self.folders.values():
            _kill_all(folder)

    def _watch(self):
        """A descriptor that tells of want of memory, also below: a count of kills is kept where the killed one was, and goes with it."""
        folder = self.folders.get("memory")
        try:
            _write(folder, "memory.use_hierarchy", 1)
            alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            with open(os.path.join(folder, "memory.oom_control")) as control:
                _write(folder, "cgroup.event_control", "%d %d" % (alarm, control.fileno()))
            return alarm
        except (AttributeError, OSError, TypeError):  # before Python 3.10; no such controller
            return None

    def out_of_memory(self):
        if self._alarm is not None:
            try:
                return os.eventfd_read(self._alarm) > 0
            except OSError:
                return False
        # oom_kill is there since Linux 4.13; before, a failed allocation is the best sign there is.
        kills = _keyed(self.folders.get("memory"), "memory.oom_control").get("oom_kill")
        return kills > 0 if kills is not None else bool(_number(self.folders.get("memory"), "memory.failcnt"))

    def peak_memory(self):
        return _number(self.folders.get("memory"), "memory.max_usage_in_bytes")

    def times(self):
        found = [_number(self.folders.get("cpuacct"), "cpuacct.usage_" + name) for name in ("user", "sys")]
        return None if None in found else tuple(value / 1e9 for value in found)

    def remove(self):
        for folder in list(self.folders.values()) + (_everywhere(self.path) if self.path else []):
            _remove(folder)


class Version2(Group):
    """One folder for all controllers."""

    version = "cgroup-v2"

    def __init__(self, folder, path=None):
        Group.__init__(self)
        self.folder = folder
        self.path = path

    def limit(self, limits):
        """Write the limits that are asked for."""
        if limits["memory"] and _write(self.folder, "memory.max", limits["memory"]):
            _write(self.folder, "memory.swap.max", 0)
            _write(self.folder, "memory.oom.group", 1)
            self.enforced["memory"] = self.version
        if _write(self.folder, "pids.max", limits["processes"] + SPARE_PROCESSES):
            self.enforced["processes"] = self.version
        if _is_fraction(limits["cpu"]) and _write(self.folder, "cpu.max", "%d %d" % (limits["cpu"] * PERIOD, PERIOD)):
            self.enforced["cpu"] = self.version

    def join(self):
        _enter(self.folder, "cgroup.procs")

    def kill(self):
        _write(self.folder, "pids.max", 0)
        if not _write(self.folder, "cgroup.kill", 1):  # since Linux 5.14
            _kill_all(self.folder)

    def out_of_memory(self):
        return _keyed(self.folder, "memory.events").get("oom_kill", 0) > 0

    def peak_memory(self):
        return _number(self.folder, "memory.peak")  # since Linux 5.19

    def times(self):
        found = _keyed(self.folder, "cpu.stat")
        return (found["user_usec"] / 1e6, found["system_usec"] / 1e6) if "user_usec" in found else None

    def remove(self):
        _remove(self.folder)


def create(name, limits, cpus, proc="/proc/self", container=False):
    """A group with these limits in force, by the best means there is; ``container``: one that an engine puts its container into."""
    group = _version1(name, limits, proc, container) or _version2(name, proc, container) or Group()
    if _joinable(group):
        group.limit(limits)
    else:
        group.remove()
        group = Group()
    if cpus:
        group.enforced["cpu"] = "+".join(["affinity"] + [group.enforced[key] for key in ("cpu",) if key in group.enforced])
    _fall_back(group, limits)
    return group


def remove(name, proc="/proc/self"):
    """Kill and remove the groups of that name, whichever shim made them and died."""
    parents = [parent for parent, controllers in _hierarchies(proc) if controllers & {"memory", "pids", "cpu"}]
    for folder in [os.path.join(parent, name) for parent in parents + _ancestors_v2(proc)] + _everywhere("/" + name, proc):
        if os.path.isdir(folder):
            _write(folder, "pids.max", 0)
            _remove(folder)


def _version1(name, limits, proc, container):
    # Our own place differs from hierarchy to hierarchy, and an engine takes one path for all: there the group lies at the top.
    wanted = {"memory", "pids"} | ({"cpu"} if _is_fraction(limits["cpu"]) else set()) | ({"cpuacct"} if container else set())
    folders = {}
    for parent, controllers in _hierarchies(proc, top=container):
        for controller in controllers & wanted:
            folder = os.path.join(parent, name)
            if _make(folder):
                folders[controller] = folder
    return Version1(folders, "/" + name if container else None) if folders else None


def _version2(name, proc, container):
    for parent in _ancestors_v2(proc):
        _write(parent, "cgroup.subtree_control", "+memory +pids +cpu")
        folder = os.path.join(parent, name)
        if not _make(folder):
            continue
        if os.path.exists(os.path.join(folder, "memory.max")) and os.path.exists(os.path.join(folder, "pids.max")):
            return Version2(folder, _named(folder, proc) if container else None)
        _remove(folder)
    return None


def _named(folder, proc):
    """The path of a version 2 group from the root of its hierarchy."""
    root, point = next(mount[:2] for mount in _mounts(proc) if mount[2] == "cgroup2")
    return os.path.normpath(os.path.join("/", root, os.path.relpath(folder, point)))


def _everywhere(path, proc="/proc/self"):
    """The folders of that path from the top of each hierarchy: a runtime makes them in those too that have no limit of ours."""
    return [point + path for _, point, kind, _ in _mounts(proc) if kind in ("cgroup", "cgroup2") and os.path.isdir(point + path)]


def _fall_back(group, limits):
    """Rlimits for what no group enforces, and for what none can."""
    group.rlimits[resource.RLIMIT_FSIZE] = limits["disk"]
    group.enforced["disk"] = "rlimit+watch"
    if limits["memory"] and "memory" not in group.enforced:
        group.rlimits[resource.RLIMIT_AS] = limits["memory"]
        group.enforced["memory"] = "rlimit"
    if "processes" not in group.enforced:
        group.rlimits[resource.RLIMIT_NPROC] = limits["processes"] + SPARE_PROCESSES + _threads_of_user()
        # The kernel exempts root from this one, setrlimit(2).
        group.enforced["processes"] = "rlimit" if os.geteuid() else "none"


def _joinable(group):
    """Whether a process of ours may enter. A folder that an ordinary user can make is not always one that he may move processes to."""
    if os.geteuid() == 0:
        return True
    pid = os.fork()
    if pid == 0:
        try:
            group.join()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _threads_of_user():
    """Threads that count against RLIMIT_NPROC already: it is a limit of the user, not of the job."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat("/proc/" + name).st_uid == os.getuid():
                count += len(os.listdir("/proc/%s/task" % name))
        except OSError:
            continue  # it has just ended
    return count


def _is_fraction(cpu):
    return bool(cpu) and cpu != int(cpu)


def _hierarchies(proc, top=False):
    """Our own folder in each version 1 hierarchy, or its top, with the controllers of it."""
    own = {}
    for line in _lines(os.path.join(proc, "cgroup")):
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    found = []
    for root, point, kind, options in _mounts(proc):
        controllers = set(options.split(",")) & {"memory", "pids", "cpu", "cpuacct", "cpuset"}
        if kind == "cgroup" and controllers:
            path = next((path for names, path in own.items() if set(names.split(",")) & controllers), "/")
            found.append((point if top else _inside(root, point, path), controllers))
    return found


def _ancestors_v2(proc):
    """Version 2 folders that could hold ours: processes may only live in leaves, so the nearest is our own folder's parent."""
    path = next((line[3:] for line in _lines(os.path.join(proc, "cgroup")) if line.startswith("0::")), None)
    mount = next(((root, point) for root, point, kind, _ in _mounts(proc) if kind == "cgroup2"), None)
    if path is None or mount is None:
        return []
    point = mount[1]
    folder = _inside(mount[0], point, path)
    found = []
    while folder != point and folder.startswith(point):
        folder = os.path.dirname(folder)
        found.append(folder)
    return found or [point]


def _mounts(proc):
    """Root, mount point, type and super options of each mount, proc_pid_mountinfo(5)."""
    for line in _lines(os.path.join(proc, "mountinfo")):
        fields = line.split(" ")
        dash = fields.index("-")
        yield fields[3], fields[4].replace("\\040", " "), fields[dash + 1], fields[dash + 3]


def _inside(root, point, path):
    """Where the group ``path`` is seen, given which part of the hierarchy is mounted; the mount point where it is not seen."""
    relative = os.path.relpath(path, root)
    folder = point if relative == "." or relative.startswith("..") else os.path.join(point, relative)
    return folder if os.path.isdir(folder) else point


def _lines(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _make(folder):
    try:
        os.mkdir(folder)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def _remove(folder):
    """Remove a group, after killing who is left in it: a killed process holds on to its group for a moment."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for inner in _inner(folder):  # a runtime that is being killed may still make one
            _remove(inner)
        try:
            os.rmdir(folder)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            _kill_all(folder)
            time.sleep(0.002)
        else:
            return


def _enter(folder, name):
    with open(os.path.join(folder, name), "w") as file:
        file.write("0")


def _write(folder, name, value):
    if folder is None:
        return False
    try:
        fd = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, str(value).encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _inner(folder):
    """The groups right in a group."""
    try:
        return [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _members(folder):
    """Process ids in a group and the groups in it."""
    if folder is None:
        return []
    inner = [pid for each in _inner(folder) for pid in _members(each)]
    return inner + [int(line) for line in _lines(os.path.join(folder, "cgroup.procs"))]


def _kill_all(folder):
    for pid in _members(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def _keyed(folder, name):
    """A flat keyed file: a word and a number on each line."""
    lines = _lines(os.path.join(folder, name)) if folder else []
    return {pair[0]: int(pair[1]) for pair in map(str.split, lines) if len(pair) == 2 and pair[1].isdigit()}


def _number(folder, name):
    lines = _lines(os.path.join(folder, name)) if folder else []
    return int(lines[0]) if lines and lines[0].isdigit() else None
