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

    def __init__(self):
        self.enforced = {}
        self.rlimits = {resource.RLIMIT_CORE: 0}

    def limit(self, limits):
        """Write the limits that are asked for."""

    def join(self):
        """Move the calling process in. Called in the child before it execs; raises OSError where that fails."""

    def kill(self):
        """Send SIGKILL to all inside, and let none be born."""

    def out_of_memory(self):
        """Whether the kernel killed one for want of memory."""
        return False

    def peak_memory(self):
        """Bytes at most; ``None`` where unknown."""
        return None

    def remove(self):
        """Remove the group."""


class Version1(Group):
    """One folder per controller: memory and pids, and cpu where a fraction is asked for."""

    version = "cgroup-v1"

    def __init__(self, folders):
        Group.__init__(self)
        self.folders = folders

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

    def out_of_memory(self):
        # oom_kill is there since Linux 4.13; before, a failed allocation is the best sign there is.
        kills = _keyed(self.folders.get("memory"), "memory.oom_control").get("oom_kill")
        return kills > 0 if kills is not None else bool(_number(self.folders.get("memory"), "memory.failcnt"))

    def peak_memory(self):
        return _number(self.folders.get("memory"), "memory.max_usage_in_bytes")

    def remove(self):
        for folder in self.folders.values():
            _remove(folder)


class Version2(Group):
    """One folder for all controllers."""

    version = "cgroup-v2"

    def __init__(self, folder):
        Group.__init__(self)
        self.folder = folder

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

    def remove(self):
        _remove(self.folder)


def create(name, limits, cpus, proc="/proc/self"):
    """A group with these limits in force, by the best means there is."""
    group = _version1(name, limits, proc) or _version2(name, proc) or Group()
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
    for parent in parents + _ancestors_v2(proc):
        folder = os.path.join(parent, name)
        if os.path.isdir(folder):
            _write(folder, "pids.max", 0)
            _remove(folder)


def _version1(name, limits, proc):
    wanted = {"memory", "pids"} | ({"cpu"} if _is_fraction(limits["cpu"]) else set())
    folders = {}
    for parent, controllers in _hierarchies(proc):
        for controller in controllers & wanted:
            folder = os.path.join(parent, name)
            if _make(folder):
                folders[controller] = folder
    return Version1(folders) if folders else None


def _version2(name, proc):
    for parent in _ancestors_v2(proc):
        _write(parent, "cgroup.subtree_control", "+memory +pids +cpu")
        folder = os.path.join(parent, name)
        if not _make(folder):
            continue
        if os.path.exists(os.path.join(folder, "memory.max")) and os.path.exists(os.path.join(folder, "pids.max")):
            return Version2(folder)
        _remove(folder)
    return None


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


def _hierarchies(proc):
    """Our own folder in each version 1 hierarchy, with the controllers of it."""
    own = {}
    for line in _lines(os.path.join(proc, "cgroup")):
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    found = []
    for root, point, kind, options in _mounts(proc):
        controllers = set(options.split(",")) & {"memory", "pids", "cpu", "cpuacct", "cpuset"}
        if kind == "cgroup" and controllers:
            path = next((path for names, path in own.items() if set(names.split(",")) & controllers), "/")
            found.append((_inside(root, point, path), controllers))
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


def _kill_all(folder):
    for line in _lines(os.path.join(folder, "cgroup.procs")):
        try:
            os.kill(int(line), signal.SIGKILL)
        except OSError:
            pass


def _keyed(folder, name):
    """A flat keyed file: a word and a number on each line."""
    pairs = (line.split() for line in (_lines(os.path.join(folder, name)) if folder else ()))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(folder, name):
    lines = _lines(os.path.join(folder, name)) if folder else []
    return int(lines[0]) if lines and lines[0].isdigit() else None
